package egress

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestEachHalfOfATunnelEndsByItself(t *testing.T) {
	t.Run("the client first", func(t *testing.T) {
		r := newRig(t, Config{})
		addr := serve(t, func(c *net.TCPConn) {
			// What comes is known to be whole only at its end; then the answer follows.
			b, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			_, _ = c.Write([]byte(strings.ToUpper(string(b))))
		})
		conn, in := r.opened(addr, "early ")
		send(t, conn, "and late")
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(in); err != nil || string(got) != "EARLY AND LATE" {
			t.Errorf("%q %v", got, err)
		}
	})
	t.Run("the target first", func(t *testing.T) {
		r := newRig(t, Config{})
		got := make(chan string, 1)
		addr := serve(t, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "bye")
			_ = c.CloseWrite()
			b, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			got <- string(b)
		})
		conn, in := r.opened(addr, "")
		if b, err := io.ReadAll(in); err != nil || string(b) != "bye" {
			t.Fatalf("%q %v", b, err)
		}
		send(t, conn, "one more thing")
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if s := <-got; s != "one more thing" {
			t.Errorf("%q", s)
		}
	})
}

func TestABrokenTunnelEndsAtBothSides(t *testing.T) {
	r := newRig(t, Config{})
	ended := make(chan struct{})
	addr := serve(t, func(c *net.TCPConn) {
		defer close(ended)
		_, _ = io.Copy(io.Discard, c)
	})
	conn, _ := r.opened(addr, "")
	if err := conn.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	eventually(t, "the connection is counted out", func() bool { return r.handler.Stats().Open == 0 })
}

func TestSilenceEndsAConnection(t *testing.T) {
	for name, open := range map[string]func(*rig, string) io.Reader{
		"a tunnel": func(r *rig, addr string) io.Reader {
			_, in := r.opened(addr, "x")
			return in
		},
		"a request": func(r *rig, addr string) io.Reader {
			conn, in := r.raw()
			send(r.t, conn, "GET http://"+addr+"/ HTTP/1.1\r\nHost: x\r\n\r\n")
			return in
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{IdleTimeout: 100 * time.Millisecond})
			ended := make(chan struct{})
			addr := serve(t, func(c *net.TCPConn) {
				defer close(ended)
				_, _ = io.Copy(io.Discard, c)
			})
			_, _ = io.Copy(io.Discard, open(r, addr)) // it ends, however
			<-ended
			eventually(t, "the connection is counted out", func() bool { return r.handler.Stats().Open == 0 })
		})
	}
}

// A download is no silence, whatever the client does not say.
func TestOneWayIsEnoughToStayOpen(t *testing.T) {
	const pause, beats = 60 * time.Millisecond, 10
	r := newRig(t, Config{IdleTimeout: 5 * pause})
	addr := serve(t, func(c *net.TCPConn) {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for range beats {
			<-tick.C
			_, _ = io.WriteString(c, ".")
		}
	})
	_, in := r.opened(addr, "")
	if b, err := io.ReadAll(in); err != nil || len(b) != beats {
		t.Errorf("%q %v", b, err)
	}
}

// A client that takes nothing blocks what is written to it; that must end, too.
func TestAClientThatStallsIsLetGo(t *testing.T) {
	for _, method := range []string{http.MethodConnect, http.MethodGet} {
		t.Run(method, func(t *testing.T) {
			r := newRig(t, Config{IdleTimeout: 300 * time.Millisecond})
			addr := serve(t, func(c *net.TCPConn) {
				if method == http.MethodGet {
					_, _ = c.Read(make([]byte, 1024))
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
				}
				block := make([]byte, 1<<20)
				for {
					if _, err := c.Write(block); err != nil {
						return
					}
				}
			})
			if method == http.MethodConnect {
				r.opened(addr, "")
			} else {
				conn, _ := r.raw()
				send(t, conn, "GET http://"+addr+"/ HTTP/1.1\r\nHost: x\r\n\r\n")
			}
			eventually(t, "something passed", func() bool { return r.handler.Stats().In > 0 })
			eventually(t, "the connection is counted out", func() bool { return r.handler.Stats().Open == 0 })
		})
	}
}

func TestTheEndOfTheTunnelEndsEverything(t *testing.T) {
	for name, head := range map[string]string{
		"a tunnel": "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", "a request": "GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"an upgrade": "GET http://%s/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{})
			addr := serve(t, func(c *net.TCPConn) {
				if name == "an upgrade" {
					_, _ = c.Read(make([]byte, 1024))
					_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				}
				_, _ = io.Copy(io.Discard, c)
			})
			conn, _ := r.raw()
			send(t, conn, strings.Replace(head, "%s", addr, 1))
			eventually(t, "it is open", func() bool { return r.handler.Stats().Open == 1 })
			r.end()
			if s := r.handler.Stats(); s.Open != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	r := newRig(t, Config{Connections: 2})
	addr := serve(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	first, _ := r.opened(addr, "")
	r.opened(addr, "")
	for _, head := range []string{"CONNECT " + addr, "GET http://" + addr + "/"} {
		if status, text := r.ask(head + " HTTP/1.1\r\nHost: x\r\n\r\n"); status != 503 || !strings.Contains(text, "too many connections") {
			t.Errorf("%d %s", status, text)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a slot is free", func() bool { return r.handler.Stats().Open == 1 })
	r.opened(addr, "")
}
