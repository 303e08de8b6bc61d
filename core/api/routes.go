package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// access is what it takes to use a route.
type access int

const (
	// anyone needs nothing.
	anyone access = iota
	// anyKey needs a key; what it shows is the key's own.
	anyKey
	// owner needs the key that the session of the path was launched with.
	owner
	// ticketed needs a ticket that the owner was given for this very thing.
	ticketed
)

// route is one line of the table below.
type route struct {
	method, path, id, tag string
	access                access
	summary               string
	bind                  func(huma.API, huma.Operation)
}

// routes lists every route.
func (a *API) routes() []route {
	const sessions, agents, files, configs, tools = "sessions", "agents", "files", "configs", "tools"
	return []route{
		{http.MethodGet, "/health", "health", "host", anyone, "How the host is", handle(a.health)},
		{http.MethodGet, "/metrics", "metrics", "host", anyone, "The host's numbers, for Prometheus", streams(a.metrics, metricsAnswers)},

		{http.MethodGet, "/api/configs/", "list-configs", configs, anyone, "List the configurations", handle(a.listConfigs)},
		{http.MethodGet, "/api/configs/{config_id}", "get-config", configs, anyone, "Get a configuration", handle(a.getConfig)},

		{http.MethodPost, "/api/agents/launch", "launch", sessions, anyone, "Launch an agent", streams(a.launch, launchAnswers)},
		{http.MethodGet, "/api/agents/sessions", "list-sessions", sessions, anyKey, "List the key's sessions", handle(a.listSessions)},
		{http.MethodGet, "/api/agents/sessions/{session_id}", "get-session", sessions, owner, "Get a session", handle(a.getSession)},
		{http.MethodPatch, "/api/agents/sessions/{session_id}", "change-session", sessions, owner, "Change model or permission mode", handle(a.changeSession)},
		{http.MethodDelete, "/api/agents/sessions/{session_id}", "stop-session", sessions, owner, "Stop a session for good", handle(a.stopSession)},
		{http.MethodPost, "/api/agents/sessions/{session_id}/interrupt", "interrupt", sessions, owner, "Interrupt the running turn", handle(a.interrupt)},

		{http.MethodPost, "/api/agents/{session_id}/chat", "chat", agents, owner, "Send a message", streams(a.chat, chatAnswers)},
		{http.MethodGet, "/api/agents/{session_id}/events", "follow-events", agents, owner, "Follow the session's events", streams(a.follow, eventAnswers)},
		{http.MethodGet, "/api/agents/{session_id}/messages", "list-messages", agents, owner, "Read the session's history", handle(a.messages)},
		{http.MethodPost, "/api/agents/{session_id}/approvals/{ask}", "answer-approval", agents, owner, "Answer an approval", handle(a.approve)},

		{http.MethodGet, "/api/agents/{session_id}/resources", "get-resources", agents, owner, "What the session uses", streams(a.resources, resourcesAnswers)},
		{http.MethodGet, "/api/agents/{session_id}/logs", "get-logs", agents, owner, "What the session's agent server wrote", streams(a.logs, logsAnswers)},

		{http.MethodGet, "/api/agents/{session_id}/commands", "list-commands", agents, owner, "The slash commands that the agent offers", handle(a.listCommands)},
		{http.MethodPost, "/api/agents/{session_id}/terminal", "open-terminal", agents, owner, "Ask for a terminal", created(a.openTerminal)},
		{http.MethodGet, "/api/agents/{session_id}/terminal/{terminal}", "attach-terminal", agents, ticketed, "A shell in the sandbox", streams(a.attachTerminal, terminalAnswers)},

		{http.MethodGet, "/api/tools/{session_id}/stream", "follow-tools", tools, owner, "Follow the session's tool calls", streams(a.tools, toolAnswers)},
		{http.MethodGet, "/api/tools/{session_id}/resources", "get-tool-resources", tools, owner, "What the session uses", streams(a.resources, resourcesAnswers)},

		{http.MethodGet, "/api/files/{session_id}", "list-files", files, owner, "The tree of the workspace", handle(a.tree)},
		{http.MethodGet, "/api/files/{session_id}/{path}", "preview-file", files, owner, "Preview a file", streams(a.preview, previewAnswers)},
		{http.MethodGet, "/api/files/{session_id}/{path}/download", "download-file", files, owner, "Download a file", streams(a.download, bytesAnswers)},
		{http.MethodPost, "/api/files/{session_id}/upload", "upload-files", files, owner, "Upload files", streams(a.upload, uploadAnswers)},
		{http.MethodPost, "/api/files/{session_id}/download", "export-files", files, owner, "Export the workspace as an archive", streams(a.export, archiveAnswers)},
	}
}

// handle binds an operation that answers with one JSON value.
func handle[I, O any](fn func(context.Context, *I) (*O, error)) func(huma.API, huma.Operation) {
	return func(api huma.API, op huma.Operation) { huma.Register(api, op, fn) }
}

// created is handle for what answers with 201.
func created[I, O any](fn func(context.Context, *I) (*O, error)) func(huma.API, huma.Operation) {
	return func(api huma.API, op huma.Operation) {
		op.DefaultStatus = http.StatusCreated
		huma.Register(api, op, fn)
	}
}

// streams binds an operation that writes its own answer; document says which it has.
func streams[I any](
	fn func(context.Context, *I) (*huma.StreamResponse, error), document func(huma.Registry, *huma.Operation),
) func(huma.API, huma.Operation) {
	return func(api huma.API, op huma.Operation) {
		document(api.OpenAPI().Components.Schemas, &op)
		// A body that is documented here is read by the operation itself; Huma would read and check it, too.
		body := op.RequestBody
		op.RequestBody = nil
		huma.Register(api, op, fn)
		if body != nil {
			api.OpenAPI().Paths[op.Path].Post.RequestBody = body
		}
	}
}

func (a *API) register(r route) {
	op := huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Summary: r.summary, Tags: []string{r.tag}, MaxBodyBytes: maxBody, BodyReadTimeout: bodyTimeout,
		Errors:      []int{http.StatusUnprocessableEntity, http.StatusInternalServerError},
		Description: details(r.id),
	}
	switch r.access {
	case anyone, ticketed:
	case anyKey:
		op.Middlewares, op.Security = huma.Middlewares{a.needKey}, []map[string][]string{{"key": {}}}
		op.Errors = append(op.Errors, http.StatusUnauthorized)
	case owner:
		op.Middlewares, op.Security = huma.Middlewares{a.needOwner}, []map[string][]string{{"key": {}}}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound)
	}
	op.Errors = append(op.Errors, failures(r.id)...)
	r.bind(a.huma, op)
}

// failures are the statuses that only some operations answer with.
func failures(id string) []int {
	switch id {
	case "launch":
		return []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}
	case "chat":
		return []int{http.StatusNotAcceptable, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}
	case "interrupt", "answer-approval":
		return []int{http.StatusConflict}
	case "follow-tools":
		return []int{http.StatusNotAcceptable}
	case "get-resources", "get-tool-resources":
		return []int{http.StatusNotAcceptable, http.StatusServiceUnavailable}
	case "get-logs":
		return []int{http.StatusNotAcceptable, http.StatusNotImplemented, http.StatusServiceUnavailable}
	case "change-session":
		return []int{http.StatusConflict, http.StatusServiceUnavailable}
	case "list-commands":
		return []int{http.StatusServiceUnavailable}
	case "open-terminal":
		return []int{http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable}
	case "attach-terminal":
		return []int{http.StatusBadRequest, http.StatusForbidden, http.StatusUpgradeRequired, http.StatusServiceUnavailable}
	case "stop-session", "list-files":
		return []int{http.StatusServiceUnavailable}
	case "preview-file", "download-file":
		return []int{http.StatusBadRequest, http.StatusServiceUnavailable}
	case "upload-files", "export-files":
		return []int{http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}
	default:
		return nil
	}
}

// details says what a summary can't.
func details(id string) string {
	switch id {
	case "launch":
		return "Starts a sandbox with Claude Code in it and answers when it is ready. Give config_id or config, not both. The key is " +
			"kept in memory only; later requests show it as a bearer token."
	case "chat":
		return "Starts a turn. With `Accept: text/event-stream` the answer is the turn's events as they happen, ended by " +
			"`data: [DONE]`; otherwise one JSON object when the turn has ended. A client that goes away does not end the turn: it " +
			"goes on at /events. 409 while another turn runs."
	case "follow-events":
		return "All events after Last-Event-ID (or `after`), then those to come. With `turn` the stream ends with that turn."
	case "get-resources":
		return "One measurement, or with `Accept: text/event-stream` one every interval. A session without a sandbox uses nothing, and is not woken."
	case "get-tool-resources":
		return "The same as /api/agents/{session_id}/resources, at the path that AgCluster Container has."
	case "get-logs":
		return "Messages of the agent server, which drives Claude Code in the sandbox: not what the agent said. They are kept as long as the " +
			"sandbox is, the newest of them. With `Accept: text/event-stream` the stream goes on until the sandbox is gone."
	case "follow-tools":
		return "First what runs now (`type` snapshot), then tool_use, tool_result, todo_update, verdict and approval_required as they " +
			"happen, numbered as in /api/agents/{session_id}/events."
	case "interrupt":
		return "Asks the agent to end its turn; the turn's stream says when it has (complete with status interrupted)."
	case "change-session":
		return "What is given holds for a Claude Code that runs and for every later start; an event `settings` tells everybody. A turn that runs " +
			"ends with the model that it began with. A Claude Code that was not started with bypassPermissions takes it up with the next turn."
	case "list-commands":
		return "As Claude Code tells them; none until it has run. They are used by sending `/name arguments` as a message."
	case "open-terminal":
		return "Wakes the sandbox and gives a ticket for GET /api/agents/{session_id}/terminal/{terminal}. At most 4 terminals a session."
	case "attach-terminal":
		return "A WebSocket with the subprotocols `agcluster.terminal.v1` and `ticket.` followed by the ticket. Binary messages are bytes both " +
			"ways, at most 256 KiB each; a text from the client is `{\"type\":\"resize\",\"cols\":…,\"rows\":…}`, the last one from the host " +
			"`{\"type\":\"exit\",\"code\":…}`. The shell (`bash -l` in the workspace, as the sandbox's user) ends with the connection and with " +
			"all that it started. Traffic keeps the session awake; an open terminal alone does not."
	case "stop-session":
		return "Ends the session and removes its sandbox, workspace, transcript and history."
	case "preview-file":
		return "Text with its language; images, and anything with raw=true, as bytes; other binary files as a description. The path " +
			"is percent-encoded; a name that is no UTF-8 is given by its bytes. A file called `download` is addressed with its slash " +
			"encoded (`folder%2Fdownload`)."
	case "download-file":
		return "The file as an attachment. Ranges are supported."
	case "upload-files":
		return "multipart/form-data with parts called `files`: at most 50 files, 50 MiB each and 200 MiB together."
	case "export-files":
		return "The workspace, or the paths of the body, as a zip (or what another exporter makes). Symbolic links are never followed. " +
			"Over the limits of the session's archive policy the answer is 413 before anything is sent."
	default:
		return ""
	}
}
