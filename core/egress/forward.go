package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/agcluster/agcluster/core/egress/rule"
)

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 256 << 10

// forward passes on one plain HTTP request over a connection of its own: a connection that is used again would carry requests that
// nobody has judged when it was dialled. An upgrade (WebSocket) takes the connection over.
func forward(ctx context.Context, cancel context.CancelFunc, w http.ResponseWriter, r *http.Request, t rule.Target, target *conn) {
	control := http.NewResponseController(w)
	target.whenIdle(func() {
		cancel()
		past := time.Now()
		_ = control.SetReadDeadline(past)  // the client that stalls is let go; one that has gone needs nothing
		_ = control.SetWriteDeadline(past) // as above
	})
	proxy := &httputil.ReverseProxy{
		Transport: oneShot(target), FlushInterval: -1,
		// The standard logger would write to stderr what a stranger sent.
		ErrorLog: zap.NewStdLog(zap.New(zapcore.NewNopCore())),
		Rewrite:  func(p *httputil.ProxyRequest) { rewrite(p, t) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
			if r.Context().Err() == nil {
				refuse(w, http.StatusBadGateway, t.String()+" gave no proper answer")
			}
		},
	}
	proxy.ServeHTTP(w, r.WithContext(ctx))
}

// oneShot is a transport that has this connection and no other.
func oneShot(target net.Conn) *http.Transport {
	var used atomic.Bool
	return &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used.Swap(true) {
				return nil, errors.New("the connection is used up")
			}
			return target, nil
		},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader, ExpectContinueTimeout: time.Second,
	}
}

// rewrite points a request at the target that was judged. ReverseProxy has taken the hop-by-hop headers off, Proxy-Authorization among
// them, and puts back those of an upgrade.
func rewrite(p *httputil.ProxyRequest, t rule.Target) {
	p.Out.URL.Scheme = "http"
	p.Out.URL.Host = t.String()
	p.Out.URL.RawQuery = p.In.URL.RawQuery // as it came, also what Go can't parse
	p.Out.Host = t.String()
	if t.Port == portHTTP {
		p.Out.Host = strings.TrimSuffix(p.Out.Host, ":80")
	}
	for name := range p.Out.Header {
		if strings.HasPrefix(name, "Proxy-") {
			p.Out.Header.Del(name)
		}
	}
}
