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
		{http.MethodGet, "/api/configs/{config_id}", "get-config", configs, anyone, "Get a configuration", streams(a.getConfig, configAnswers)},
		{http.MethodGet, "/api/configs/custom/list", "list-custom-configs", configs, anyone, "List the users' own configurations", handle(a.listCustom)},
		{http.MethodPost, "/api/configs/custom", "create-config", configs, anyone, "Keep a configuration of one's own", asGiven(a.createConfig)},
		{http.MethodPut, "/api/configs/custom/{config_id}", "replace-config", configs, anyone, "Change a configuration of one's own", asGiven(a.replaceConfig)},
		{http.MethodDelete, "/api/configs/custom/{config_id}", "delete-config", configs, anyone, "Delete a configuration of one's own", handle(a.deleteConfig)},
		{http.MethodGet, "/api/configs/schema", "get-config-schema", configs, anyone, "The JSON Schema of configurations", handle(a.configSchema)},
		{http.MethodPost, "/api/configs/validate", "validate-config", configs, anyone, "What is wrong with a configuration, and where", asGiven(a.validateConfig)},
		{http.MethodGet, "/api/configs/tools", "list-tools", configs, anyone, "List the tools that a configuration may allow", handle(a.listTools)},

		{http.MethodGet, "/api/policies", "list-policies", "policies", anyone, "List the policies, with how they have judged", handle(a.listPolicies)},
		{http.MethodPost, "/api/policies/check", "check-policies", "policies", anyone, "Would this be allowed? A dry run", handle(a.checkPolicies)},

		{http.MethodGet, "/api/plugins", "list-plugins", "host", anyone, "List the plugins", handle(a.listPlugins)},
		{http.MethodGet, "/api/plugins/{name}/logs", "get-plugin-logs", "host", anyone, "What a plugin wrote", handle(a.pluginLogs)},
		{http.MethodGet, "/api/providers", "list-providers", "host", anyone, "List the providers, and whether they can be used", handle(a.listProviders)},
		{http.MethodGet, "/api/settings", "list-settings", "host", anyone, "The host's configuration as it is in force", handle(a.listSettings)},
		{http.MethodGet, "/api/about", "about", "host", anyone, "What this host is", handle(a.about)},

		{http.MethodPost, "/api/agents/launch", "launch", sessions, anyone, "Launch an agent", streams(a.launch, launchAnswers)},
		{http.MethodGet, "/api/agents/sessions", "list-sessions", sessions, anyKey, "List the key's sessions", handle(a.listSessions)},
		{http.MethodGet, "/api/agents/sessions/{session_id}", "get-session", sessions, owner, "Get a session", handle(a.getSession)},
		{http.MethodPatch, "/api/agents/sessions/{session_id}", "change-session", sessions, owner, "Change model or permission mode", handle(a.changeSession)},
		{http.MethodDelete, "/api/agents/sessions/{session_id}", "stop-session", sessions, owner, "Stop a session for good", handle(a.stopSession)},
		{http.MethodPost, "/api/agents/sessions/{session_id}/interrupt", "interrupt", sessions, owner, "Interrupt the running turn", handle(a.interrupt)},

		{http.MethodPost, "/api/agents/chat", "seed-chat", agents, anyKey, "Send a message, as AgCluster Container's UI does", streams(a.seedChat, seedChatAnswers)},
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
		{http.MethodGet, "/api/files/{session_id}/changes", "list-changes", files, owner, "What has changed since a moment", handle(a.changes)},
		{http.MethodGet, "/api/files/{session_id}/changes/{path}", "get-change", files, owner, "How a file has changed since a moment", handle(a.change)},
		{http.MethodPut, "/api/files/{session_id}/{path}", "write-file", files, owner, "Write a file", streams(a.write, writeAnswers)},
		{http.MethodDelete, "/api/files/{session_id}/{path}", "delete-file", files, owner, "Delete a file or folder", handle(a.deleteFile)},
		{http.MethodPost, "/api/files/{session_id}/move", "move-file", files, owner, "Move or rename a file or folder", handle(a.move)},
		{http.MethodPost, "/api/files/{session_id}/folders", "make-folder", files, owner, "Make a folder", created(a.makeFolder)},
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
		switch item := api.OpenAPI().Paths[op.Path]; {
		case body == nil:
		case op.Method == http.MethodPut:
			item.Put.RequestBody = body
		default:
			item.Post.RequestBody = body
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
	case "get-config":
		return []int{http.StatusNotFound, http.StatusNotAcceptable}
	case "create-config":
		return []int{http.StatusConflict}
	case "replace-config", "delete-config", "check-policies", "get-plugin-logs":
		return []int{http.StatusNotFound}
	case "launch":
		return []int{
			http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge,
			http.StatusServiceUnavailable,
		}
	case "chat":
		return []int{http.StatusNotAcceptable, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}
	case "seed-chat":
		return []int{http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}
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
	case "preview-file", "download-file", "list-changes", "get-change":
		return []int{http.StatusBadRequest, http.StatusServiceUnavailable}
	case "write-file":
		return []int{
			http.StatusBadRequest, http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable,
		}
	case "delete-file", "move-file", "make-folder", "upload-files", "export-files":
		return []int{http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}
	default:
		return nil
	}
}

// details says what a summary can't.
func details(id string) string {
	switch id {
	case "create-config":
		return "Stored as YAML in the host's data folder; what it leaves out is the host's to say at each launch. At most 200, 1 MiB each. " +
			"Anybody who reaches the host may read, change and launch it: give credentials at the launch (mcp_env) instead. 409 when the id " +
			"is taken."
	case "replace-config":
		return "The whole configuration anew. A value that is ***, as it is shown, stays what it was. Sessions keep what they were launched with."
	case "validate-config":
		return "Tells everything that is wrong at once, with path and (for YAML) line and column, and gives back what could be understood, as an " +
			"object and as YAML: for an editor that has both side by side. It stores nothing."
	case "get-config-schema":
		return "With descriptions, enumerations, limits and the parameters of this host's policies ($defs, policy:NAME). What is valid fits it; " +
			"POST /api/configs/validate says more."
	case "list-policies":
		return "Verdicts are counted since the host began, each answer of a policy once: one that is asked with the operator's parameters and with a " +
			"configuration's counts twice. Dry runs don't count."
	case "check-policies":
		return "Puts one question to the gates as a session of this configuration would: the same code, the policies with the operator's and the " +
			"configuration's parameters, and the filters. Policies begin without state, and nothing is kept. Claude Code's own permission mode, " +
			"full storage and the addresses behind a name are not known here."
	case "get-plugin-logs":
		return "The newest lines of every level that the plugin logged or printed, and what the host had to say of it; 500 are kept in memory. " +
			"Keys and credentials are ***."
	case "list-providers":
		return "Asks each provider, at most once in half a minute; one that takes longer than 5 seconds is not available."
	case "list-settings":
		return "What `agcluster config` prints, with what each key is for. It is changed in agcluster.yaml, the environment or by flags, and " +
			"read at the host's start."
	case "launch":
		return "Starts a sandbox with Claude Code in it and answers when it is ready. Give config_id or config, not both. The key is " +
			"kept in memory only; later requests show it as a bearer token. 403 when a policy refuses the launch; nothing was started then."
	case "chat":
		return "Starts a turn. With `Accept: text/event-stream` the answer is the turn's events as they happen, ended by " +
			"`data: [DONE]`; otherwise one JSON object when the turn has ended. A client that goes away does not end the turn: it " +
			"goes on at /events. 409 while another turn runs."
	case "seed-chat":
		return "For clients of AgCluster Container's own UI. New ones use /api/agents/{session_id}/chat and /events, which can be resumed and " +
			"have approvals. A client that goes away does not end the turn."
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
	case "list-changes":
		return "Compared with how the workspace was when the session was launched, when its last turn began, or when turn N did: 404 when that is " +
			"not kept any more. At most 2,000 changes are told, those of .git, node_modules and the like last; folders are not. A file called " +
			"`changes` is previewed without `since`."
	case "get-change":
		return "Both texts, each up to 1 MiB. A link's text is what it points to. A file of a folder called `changes` is previewed without `since`."
	case "write-file":
		return "The body is the file, at most 50 MiB. It is put in place at once and keeps the permissions of a file that it replaces; a link " +
			"that stays in the workspace is followed, missing folders are made. With `If-Match` and the ETag of a preview, download or write, " +
			"nobody's change is overwritten unseen: 412 says that there was one."
	case "delete-file":
		return "A link is deleted and not what it points to. A folder that is not empty is 409 without `recursive`."
	case "move-file":
		return "409 when something is there already."
	case "make-folder":
		return "409 when something is there already."
	case "upload-files":
		return "multipart/form-data with parts called `files`: at most 50 files, 50 MiB each and 200 MiB together."
	case "export-files":
		return "The workspace, or the paths of the body, as a zip (or what another exporter makes). Symbolic links are never followed. " +
			"Over the limits of the session's archive policy the answer is 413 before anything is sent."
	default:
		return ""
	}
}
