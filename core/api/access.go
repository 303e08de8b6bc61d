package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/session"
)

type (
	keyOf     struct{}
	sessionOf struct{}
)

// maxKey bounds a key, in bytes.
const maxKey = 512

// checkKey says what is wrong with a key without repeating any of it.
func checkKey(key string) string {
	switch {
	case key == "":
		return "is empty"
	case len(key) > maxKey:
		return "is longer than 512 bytes"
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "must be printable ASCII without spaces"
	case strings.HasPrefix(key, "sk-ant-oat"):
		return "is a Claude.ai OAuth token; an API key of the Anthropic Console is needed"
	default:
		return ""
	}
}

// bearer is the key of a request; empty when there is none that could be one.
func bearer(header string) string {
	scheme, key, _ := strings.Cut(header, " ")
	key = strings.TrimSpace(key)
	if !strings.EqualFold(scheme, "Bearer") || checkKey(key) != "" {
		return ""
	}
	return key
}

func (a *API) needKey(ctx huma.Context, next func(huma.Context)) {
	key := bearer(ctx.Header("Authorization"))
	if key == "" {
		a.unauthorized(ctx)
		return
	}
	next(huma.WithValue(ctx, keyOf{}, key))
}

func (a *API) unauthorized(ctx huma.Context) {
	ctx.SetHeader("WWW-Authenticate", `Bearer realm="agcluster"`)
	_ = huma.WriteErr(a.huma, ctx, http.StatusUnauthorized, // the client has gone; there is nobody to tell
		"Authorization: Bearer <the Anthropic key the session was launched with> is needed")
}

func (a *API) needOwner(ctx huma.Context, next func(huma.Context)) {
	key := bearer(ctx.Header("Authorization"))
	if key == "" {
		a.unauthorized(ctx)
		return
	}
	rec, err := a.Sessions.Authorize(ctx.Context(), ctx.Param("session_id"), key)
	if err != nil {
		p := a.problem(err)
		_ = huma.WriteErr(a.huma, ctx, p.GetStatus(), p.Error()) // as above
		return
	}
	next(huma.WithValue(ctx, sessionOf{}, rec))
}

// current is the session that needOwner let through.
func current(ctx context.Context) session.Session {
	rec, _ := ctx.Value(sessionOf{}).(session.Session)
	return rec
}

func keyFrom(ctx context.Context) string {
	key, _ := ctx.Value(keyOf{}).(string)
	return key
}
