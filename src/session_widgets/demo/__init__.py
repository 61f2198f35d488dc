"""A deterministic ACP agent without a model: `python -m session_widgets.demo`.

A prompt is a script, one command a line:

    say TEXT              answer TEXT, streamed word by word
    think TEXT            the same as a thought
    plan A; B; C          publish a plan; each later line ticks off one entry
    write PATH <<EOT      write the lines up to EOT (any word) to PATH; asks permission with a diff
    read PATH             read a file
    run COMMAND           run COMMAND with `sh -c` in the workspace; asks permission, streams the output
    wait SECONDS          pause
    tool NAME {JSON}      call a tool of the session's MCP servers; asks permission
    stream N              answer N chunks, flat out
    question TEXT | A     ask the user, for a text or one of the choices
    mode ID               ask to go to another mode; `mode ID unasked` goes without asking
    title TEXT            set the session's title
    commands A B:HINT     publish slash commands
    notice SEVERITY TEXT  send a notice: info, warning or error; `TITLE | DETAILS`
    compact SUMMARY       report a compaction of the context; `compact failed WHY` one that fails
    plan-items ID A; B    publish a plan beside the others; also plan-text ID MARKDOWN, plan-file ID PATH, plan-drop ID
    subagent TITLE <<EOT  run the lines up to EOT as a script of a child session
    update {JSON}         send any session update, as it is
    remember              tell the number of earlier turns, and the first prompt
    silent                send nothing more until the turn is cancelled
    deaf                  ignore all input from now on, even SIGTERM
    fail MESSAGE          end the turn with a JSON-RPC error
    crash CODE            end the process with that exit code

A prompt in which no line is a command is free text: the agent looks at the workspace, writes a note and reports.
Sessions are kept in `DEMO_STATE_DIR`, by default `.harness/demo` in the session's directory.
`docs/demo-harness.md` has the details.
"""
