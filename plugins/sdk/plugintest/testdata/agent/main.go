// Command agent stands in for the agent server in the tests of providers: it listens where it is told, demands the token and runs the
// commands it is sent. It writes to both standard streams, because a provider's logs have both.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "eat" {
		eat(os.Args[2])
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(3)
	}
}

func serve() error {
	fd, err := strconv.Atoi(os.Getenv("AGCLUSTER_TOKEN_FD"))
	if err != nil {
		return fmt.Errorf("reading AGCLUSTER_TOKEN_FD: %w", err)
	}
	file := os.NewFile(uintptr(fd), "token")
	token, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("reading the token: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("closing the token: %w", err)
	}
	switch os.Getenv("TEST_MODE") {
	case "fail":
		return fmt.Errorf("told to fail\x1b[31m with a token of %d bytes", len(token))
	case "hang":
		time.Sleep(time.Hour) // until the provider kills it
	}
	listener, err := net.Listen("unix", strings.TrimPrefix(os.Getenv("AGCLUSTER_LISTEN"), "unix:"))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /exec", execute)
	mux.HandleFunc("POST /exit", func(http.ResponseWriter, *http.Request) {
		fmt.Fprintln(os.Stderr, "agent: told to leave")
		os.Exit(7)
	})
	mux.HandleFunc("POST /say", func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		fmt.Fprintln(os.Stdout, string(text))
		if r.URL.Query().Has("twice") {
			fmt.Fprintln(os.Stderr, "agent: said", len(text))
		}
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("POST /eat", func(_ http.ResponseWriter, r *http.Request) { eat(r.URL.Query().Get("mib")) })
	want := "Bearer " + string(token)
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != want {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

func execute(w http.ResponseWriter, r *http.Request) {
	script, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cmd := exec.CommandContext(r.Context(), "/bin/bash", "-c", string(script))
	// A file and no pipe: the script's end is what counts, whatever it leaves running with its output in hand.
	file, err := os.CreateTemp("/tmp", "out")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = os.Remove(file.Name()) }()
	cmd.Stdout, cmd.Stderr = file, file
	err = cmd.Run()
	out, readErr := os.ReadFile(file.Name())
	if closeErr := file.Close(); readErr != nil || closeErr != nil || cmd.ProcessState == nil {
		http.Error(w, fmt.Sprint(err, readErr, closeErr), http.StatusInternalServerError)
		return
	}
	answer := map[string]any{"output": string(out), "code": cmd.ProcessState.ExitCode()}
	if err != nil {
		answer["error"] = err.Error()
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// eat takes and touches memory, in MiB.
func eat(amount string) {
	n, err := strconv.Atoi(amount)
	if err != nil {
		os.Exit(2)
	}
	var held [][]byte
	for range n {
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = byte(i)
		}
		held = append(held, block)
	}
	fmt.Println("ate", len(held))
}
