// Package offspring ends what a process has left behind: its group, its session, and all that carries its mark in the environment,
// because what starts a session of its own belongs to neither. It knows nothing of what the processes are.
//
// One that scrubs its environment and leaves the session outlives its parent, not its sandbox.
package offspring

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Variable is an environment variable that every descendant carries.
const Variable = "AGCLUSTER_RUN"

// Mark tells the descendants of one process from all others.
type Mark string

// NewMark returns a mark that no other process has.
func NewMark() Mark { return Mark(rand.Text()) }

// Env is the variable to start the process with.
func (m Mark) Env() string { return Variable + "=" + string(m) }

// Kill kills every process that carries the mark or belongs to the group that the process led, whose id is leader.
func (m Mark) Kill(leader int) { m.kill(leader, false) }

// KillSession is Kill for a process that led a session of its own, too: whoever belongs to that goes as well.
func (m Mark) KillSession(leader int) { m.kill(leader, true) }

func (m Mark) kill(leader int, session bool) {
	// A process may fork while we look: look again until nothing is found, but not for ever.
	for range 20 {
		found := false
		dirs, err := os.ReadDir("/proc")
		if err != nil {
			return
		}
		for _, d := range dirs {
			pid, err := strconv.Atoi(d.Name())
			if err != nil || pid == os.Getpid() || !m.has(pid) && (!session || sessionOf(pid) != leader) {
				continue
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err == nil && !ended(pid) {
				found = true
			}
		}
		if err := syscall.Kill(-leader, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) && !found {
			return
		}
	}
}

func (m Mark) has(pid int) bool {
	env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && bytes.Contains(env, []byte(m.Env()))
}

// sessionOf is the session of a process, 0 when it is gone.
func sessionOf(pid int) int {
	id, err := strconv.Atoi(field(pid, 3))
	if err != nil {
		return 0
	}
	return id
}

// ended says that nothing is left of a process but its exit status.
func ended(pid int) bool {
	state := field(pid, 0)
	return state == "" || state == "Z" || state == "X"
}

// field is one of /proc/PID/stat after the name, which may hold anything: state, parent, group, session.
func field(pid, i int) string {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= i {
		return ""
	}
	return fields[i]
}
