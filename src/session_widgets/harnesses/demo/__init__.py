"""A deterministic ACP agent without a model: `python -m session_widgets.harnesses.demo`.

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
    remember              tell how many turns came before, and the first prompt
    fail MESSAGE          end the turn with a JSON-RPC error
    crash CODE            end the process with that exit code

A prompt in which no line is a command is free text: the agent looks at the workspace, writes a note and reports.
Sessions are kept in `DEMO_STATE_DIR`, by default `.harness/demo` in the session's directory.
`docs/demo-harness.md` has the details.
"""
