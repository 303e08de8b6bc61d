package host_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The providers that every job must be done on alike.
const (
	onLocal  = "local"
	onDocker = "docker"
	// dockerImage is what Docker sandboxes of the tests run; `make test` builds it. It has Python, which some jobs use.
	dockerImage = "agcluster-agent:full"
)

// TestEndToEnd does every job on every provider: the real host, the real Claude Code, real sandboxes.
func TestEndToEnd(t *testing.T) {
	for _, on := range []string{onLocal, onDocker} {
		t.Run(on, func(t *testing.T) {
			if on == onDocker {
				needDocker(t)
			}
			for _, job := range []struct {
				name string
				do   func(t *testing.T, on string)
			}{
				{"Approvals", jobApprovals},
				{"SecretsNeverReachTheModel", jobSecretsNeverReachTheModel},
				{"PluginKilledInACallDeniesIt", jobPluginKilledInACallDeniesIt},
				{"HostilePolicyDeniesWithinItsLimits", jobHostilePolicyDeniesWithinItsLimits},
				{"SandboxIsClosed", jobSandboxIsClosed},
				{"RoutesDemandTheSessionsKey", jobRoutesDemandTheSessionsKey},
				{"HostilePathsStayOutside", jobHostilePathsStayOutside},
				{"ArchiveLimitsAreMetBeforeAByteIsSent", jobArchiveLimitsAreMetBeforeAByteIsSent},
				{"KeyIsNowhere", jobKeyIsNowhere},
				{"MainJob", jobMainJob},
				{"FilesAreEditedAndCompared", jobFilesAreEditedAndCompared},
				{"PresetsReachTheCLI", jobPresetsReachTheCLI},
				{"SubAgentsAreGuardedAndTheirEventsNameTheirParent", jobSubAgentsAreGuardedAndTheirEventsNameTheirParent},
				{"SecondTurnRemembersTheFirst", jobSecondTurnRemembersTheFirst},
				{"InterruptEndsATurnAndItsChildren", jobInterruptEndsATurnAndItsChildren},
				{"KilledCLIResumesWithContext", jobKilledCLIResumesWithContext},
				{"LostStreamGoesOnWhereItBroke", jobLostStreamGoesOnWhereItBroke},
				{"RestartKeepsSessionsAndLeavesNoSandbox", jobRestartKeepsSessionsAndLeavesNoSandbox},
				{"IdleSandboxIsFreedAndWakes", jobIdleSandboxIsFreedAndWakes},
				{"OneJSONAnswer", jobOneJSONAnswer},
				{"DeltasAreStreamedOnRequest", jobDeltasAreStreamedOnRequest},
				{"MCPServersGetTheirCredentials", jobMCPServersGetTheirCredentials},
				{"WarmLaunch", jobWarmLaunch},
				{"EgressIsTheWatchedWayOut", jobEgressIsTheWatchedWayOut},
				{"EgressOfTheCLIItself", jobEgressOfTheCLIItself},
				{"EgressRulesOfASession", jobEgressRulesOfASession},
				{"EgressRuleOfTheOperator", jobEgressRuleOfTheOperator},
				{"StorageIsLimited", jobStorageIsLimited},
				{"ResourcesOfASession", jobResourcesOfASession},
				{"ToolCallsAreFollowed", jobToolCallsAreFollowed},
				{"OutOfMemoryIsToldAsSuch", jobOutOfMemoryIsToldAsSuch},
				{"Terminal", jobTerminal},
				{"TerminalEndsWithItsConnection", jobTerminalEndsWithItsConnection},
				{"TerminalIsForTheOwner", jobTerminalIsForTheOwner},
				{"TerminalKeepsAwakeWhileItIsUsed", jobTerminalKeepsAwakeWhileItIsUsed},
				{"ApprovalForTheSession", jobApprovalForTheSession},
				{"SettingsHoldNowAndLater", jobSettingsHoldNowAndLater},
			} {
				t.Run(job.name, func(t *testing.T) { job.do(t, on) })
			}
		})
	}
}

// needDocker demands an engine and the image, unless somebody says that there is none to be had.
func needDocker(t testing.TB) {
	t.Helper()
	if os.Getenv("AGCLUSTER_TEST_DOCKER") == "off" {
		t.Skip("AGCLUSTER_TEST_DOCKER=off")
	}
	if out, err := exec.Command("docker", "image", "inspect", "--format", "ok", dockerImage).CombinedOutput(); err != nil {
		t.Fatalf("no Docker engine with the image %s: `make test` starts and builds them; AGCLUSTER_TEST_DOCKER=off goes without: %v: %s",
			dockerImage, err, out)
	}
}

// docker runs the engine's own client.
func docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// hostID is what the host calls itself towards its providers.
func (r *rig) hostID() string {
	b, err := os.ReadFile(filepath.Join(r.data, "host-id"))
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// containers are the ids of the host's containers that are there, running or not.
func (r *rig) containers() []string {
	return strings.Fields(docker(r.t, "ps", "-aq", "--no-trunc", "--filter", "label=org.agcluster.host="+r.hostID()))
}

// volumes are the workspaces that the host's provider keeps.
func (r *rig) volumes() []string {
	r.t.Helper()
	if r.on == onDocker {
		// Two Docker volumes are one of ours: workspace and transcript.
		var found []string
		for _, name := range strings.Fields(docker(r.t, "volume", "ls", "-q", "--filter", "label=org.agcluster-provider.host-id="+r.hostID())) {
			if v, ok := strings.CutSuffix(name, "-workspace"); ok {
				found = append(found, v)
			} else if !strings.HasSuffix(name, "-claude") {
				r.t.Errorf("a volume %s", name)
			}
		}
		return found
	}
	found, err := filepath.Glob(filepath.Join(r.data, "plugins/provider-local/volumes/*"))
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// inside lists the processes of the host's sandboxes.
func (r *rig) inside() []proc {
	if r.on != onDocker {
		return below(r.cmd.Process.Pid)
	}
	var found []proc
	ids := r.containers()
	for _, p := range processes() {
		group, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "cgroup"))
		if err != nil {
			continue
		}
		for _, id := range ids {
			if strings.Contains(string(group), id) {
				found = append(found, p)
				break
			}
		}
	}
	return append(found, below(r.cmd.Process.Pid)...)
}
