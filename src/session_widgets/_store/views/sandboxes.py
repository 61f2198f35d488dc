"""Sandboxes: how long each has run for a session, and what that costs."""

from __future__ import annotations

from session_widgets._store.sandbox_rate_queries import CPU, DISK, MEMORY, PUBLISHED
from session_widgets._store.views.view import View
from session_widgets.model import SANDBOX_LIFETIME
from session_widgets.transcript.notes import SandboxStarted, SandboxStopped, SessionForked, SessionSandbox

_PUBLISHED = ", ".join(str(tuple(value or "" for value in row)) for row in PUBLISHED)
_RATES = f"""
        select provider, resource, per_second, default_amount, currency, price_date, source from sandbox_rates
        union all by name
        select provider, resource, per_second::decimal(24, 12) as per_second,
            nullif(default_amount, '')::decimal(24, 12) as default_amount, 'USD' as currency,
            price_date::date as price_date, source
        from (values {_PUBLISHED})
            published(provider, resource, per_second, default_amount, price_date, source)
        where provider not in (select provider from sandbox_rates)"""  # noqa: S608 - our own text

_TIMES = f"""
        select * exclude (following), split_part(sandbox_ref, ':', 1) as provider
        from (
            select n.session_id, n.seq, n.kind, n.payload ->> '$.ref' as sandbox_ref, n.ts as started_at,
                lead(if(n.kind = '{SandboxStopped.kind}', n.ts, null)) over same as ended_at,
                lead(if(n.kind = '{SandboxStopped.kind}', n.payload ->> '$.reason', null)) over same as reason,
                lead(n.seq) over (partition by n.session_id order by n.seq) as following,
                following is null as is_latest
            from events n
            left join (
                select session_id, max(seq) as copied from events
                where kind = '{SessionForked.kind}' and direction = 'note' group by session_id) f using (session_id)
            where n.kind in ('{SandboxStarted.kind}', '{SandboxStopped.kind}') and n.direction = 'note'
                and n.seq > coalesce(copied, 0)
            window same as (partition by n.session_id, n.payload ->> '$.ref' order by n.seq))
        where kind = '{SandboxStarted.kind}'"""  # noqa: S608 - our own text
"""Each start of a sandbox, with its end: of the session itself, not of the one that it was forked from."""

_OPTIONS = f"""
        select session_id, seq, split_part(payload ->> '$.name', ':', 1) as provider,
            (payload ->> '$.cpus')::double as cpus, (payload ->> '$.memory')::double / 1024 ** 3 as memory,
            payload ->> '$.image' as image, (payload ->> '$.lifetime')::double as lifetime,
            rtrim(upper(split_part(payload ->> '$.gpu', ':', 1)), '!') as gpu,
            greatest(coalesce(try_cast(split_part(payload ->> '$.gpu', ':', 2) as integer), 1), 1) as gpus
        from events where kind = '{SessionSandbox.kind}' and direction = 'note'"""  # noqa: S608 - our own text

_BY_RESOURCE = ", ".join(
    f"any_value(default_amount) filter (resource = '{name}') as {column}, "
    f"any_value(per_second) filter (resource = '{name}') as {name}_rate"
    for name, column in ((CPU, "cpus"), (MEMORY, "memory"), (DISK, "disk"))
)
_COST = "cpus * cpu_rate + memory * memory_rate + coalesce(disk * disk_rate, 0) + if(gpu is null, 0, gpus * gpu_rate)"

VIEWS = (
    View(
        name="v_sandbox_rates",
        about="One row a price of a part of a sandbox for a second: as published by the vendor, or the user's own.",
        query=_RATES,
        columns=(
            ("provider", "such as `e2b`"),
            ("resource", f"`{CPU}` (as the vendor counts them), `{MEMORY}` and `{DISK}` (a GiB), or the name of a GPU"),
            ("per_second", "price of one CPU, GiB or GPU for a second"),
            ("default_amount", "how much a sandbox has whose options do not say it; NULL if that is not known"),
            ("currency", ""),
            ("price_date", "the day on which it was read; a price does not say since when it holds"),
            ("source", "the vendor's page, or `user` (`Store.sandbox_rates`)"),
        ),
        example="""
select provider, resource, per_second * 3600 as per_hour, currency, price_date from v_sandbox_rates order by all""",
    ),
    View(
        name="v_sandboxes",
        about="One row a time that a sandbox has run for a session, from its start or resumption to its stop.",
        query=f"""
        select session_id, sandbox_ref, provider, started_at, ended_at, seconds, reason,
            if(unpriced is null, (seconds * ({_COST}))::decimal(18, 9), null) as cost_estimated,
            if(unpriced is null, currency, null) as currency, if(unpriced is null, price_date, null) as price_date,
            unpriced
        from (
            select *, case when cpu_rate is null or memory_rate is null then 'no_rate'
                when gpu is not null and gpu_rate is null then 'no_gpu_rate'
                when cpus is null or memory is null then 'no_size'
                when seconds is null then 'no_end' end as unpriced
            from (
                select t.session_id, t.seq, t.sandbox_ref, t.provider, t.started_at, t.ended_at, t.reason,
                    date_diff('millisecond', t.started_at, coalesce(t.ended_at, if(t.is_latest and now() < t.started_at
                        + to_seconds(coalesce(said.lifetime, {SANDBOX_LIFETIME})), greatest(now(), t.started_at), null))
                        ) / 1000.0 as seconds,
                    coalesce(said.cpus, if(said.image is null and said.gpu is null, r.cpus, null)) as cpus,
                    coalesce(said.memory, if(said.image is null and said.gpu is null, r.memory, null)) as memory,
                    r.disk, said.gpu as gpu, said.gpus as gpus, r.cpu_rate, r.memory_rate, r.disk_rate,
                    g.per_second as gpu_rate, r.currency, least(r.price_date, g.price_date) as price_date
                from (
                    select times.*, if(options.provider = times.provider, options, null) as said
                    from ({_TIMES}) times
                    asof left join ({_OPTIONS}) options
                        on times.session_id = options.session_id and times.seq >= options.seq) t
                left join (
                    select provider, any_value(currency) as currency, min(price_date) as price_date,
                        {_BY_RESOURCE}
                    from v_sandbox_rates where resource in ('{CPU}', '{MEMORY}', '{DISK}') group by provider) r
                    on t.provider = r.provider
                left join v_sandbox_rates g on t.provider = g.provider and t.said.gpu = upper(g.resource)))""",  # noqa: S608
        columns=(
            ("session_id", "the session"),
            ("sandbox_ref, provider", 'such as `e2b:3f2a90c1d4e7` and `e2b`; `provider` of "runner:URL" is `runner`'),
            ("started_at", "when it was made, or started again after it was parked"),
            (
                "ended_at",
                "NULL while it runs, and where nobody saw its end: a sandbox may park itself, or its machine stop",
            ),
            (
                "seconds",
                "until `ended_at`; of the sandbox in use until now, at most for its lifetime (a day, unless "
                "its options say another one). NULL where nobody saw its end",
            ),
            ("reason", "`parked`, `switched`, `changed` (it was replaced), `gone` or `deleted`"),
            (
                "cost_estimated, currency",
                "what `seconds` cost by `v_sandbox_rates`: an estimate, without discounts, free allowances, taxes, and "
                "the storage of parked sandboxes; NULL if it is not known",
            ),
            ("price_date", "the day of the oldest rate used"),
            (
                "unpriced",
                "why there is no estimate: `no_rate` of the provider; `no_gpu_rate`; `no_size`: what the sandbox "
                "has is not known, because its options do not say it; `no_end`: nobody saw its end",
            ),
        ),
        example="""
select session_id, provider, sum(seconds) as seconds, sum(cost_estimated) as cost, currency, count(unpriced) as unknown
from v_sandboxes group by all order by cost desc nulls last""",
    ),
)
