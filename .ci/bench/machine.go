package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is what the figures were measured on, and what was measured.
type machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Memory   string `json:"memory"`
	Kernel   string `json:"kernel"`
	Load     string `json:"load"`
	Go       string `json:"go"`
	Claude   string `json:"claude_code"`
	Version  string `json:"version"`
	Provider string `json:"provider"`
}

// describeMachine says what it can find out; what it can't is empty.
func describeMachine(ctx context.Context) machine {
	m := machine{
		CPU: line("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: line("/proc/meminfo", "MemTotal"),
		Kernel: said(ctx, "uname", "-sr"), Go: said(ctx, "go", "env", "GOVERSION"), Claude: said(ctx, "build/agent/claude", "--version"),
		Version: said(ctx, "git", "describe", "--tags", "--always", "--dirty"), Provider: os.Getenv("AGCLUSTER_BENCH_PROVIDER"),
	}
	if m.Provider == "" {
		m.Provider = "docker"
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	return m
}

// String is the table's head.
func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s memory, %s, load %s\n%s, Claude Code %s, AgCluster %s, provider %s",
		m.CPU, m.Cores, m.Memory, m.Kernel, m.Load, m.Go, m.Claude, m.Version, m.Provider)
}

// line is the first value called name in a file of "name : value".
func line(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for l := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// said is the first line that a program prints, with an environment in which it reaches nobody.
func said(ctx context.Context, program string, args ...string) string {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1")
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first
}
