package policy_test
import ("testing";"time";goruntime "runtime";"github.com/agcluster/agcluster/core/policy")
func TestZZ(t *testing.T) {
	m, _ := loaded(t, policy.Config{Instances: 2, Timeout: 3*time.Second}, "hostile")
	ask(m, policy.GateToolCall, "nothing")
	ask(m, policy.GateToolCall, "nothing")
	done := make(chan time.Time, 1)
	began := time.Now()
	go func() { ask(m, policy.GateToolCall, "loop"); done <- time.Now() }()
	time.Sleep(100*time.Millisecond)
	for range 3 {
	a := time.Now(); goruntime.GC(); t.Log("gc", time.Since(a))
	a = time.Now(); ask(m, policy.GateToolCall, "nothing"); t.Log("nothing", time.Since(a), "since", time.Since(began))
	}
	t.Log("loop ended", (<-done).Sub(began))
}
