package host_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/event"
)

// A session may store as much as its configuration says. What takes more ends the turn, then nothing is written until something was
// deleted.
func TestStorageIsLimited(t *testing.T) {
	r := newRig(t, options{})
	id := r.launch(inline(func(c map[string]any) {
		c["resource_limits"] = map[string]any{"cpu_quota": 200000, "memory_limit": "2g", "storage_limit": "16m"}
	}))
	fill := "for i in 1 2 3 4 5; do head -c 8M /dev/urandom > /workspace/fill$i; done; sleep 20; echo survived"
	x := r.turn(id, "run: "+fill).ended(event.CompleteFailed)
	var passed event.Error
	for _, e := range of[event.Error](x.events) {
		if e.Code == "storage_exceeded" {
			passed = e
		}
	}
	if !strings.Contains(passed.Message, "40 MiB are stored, the limit is 16 MiB") {
		t.Errorf("the turn ended with: %s", describe(x.events))
	}
	if strings.Contains(describe(x.events), `"output":"survived`) {
		t.Error("the call ran to its end")
	}
	v := r.turn(id, "write /workspace/small.txt hello").ended(event.CompleteOK).denied("tool.call")
	if v.By != "host:storage" || !strings.Contains(v.Reason, "the limit is 16 MiB") {
		t.Errorf("verdict %+v", v)
	}
	if v := r.turn(id, "run: touch more.txt").ended(event.CompleteOK).denied("tool.call"); v.By != "host:storage" {
		t.Errorf("verdict %+v", v)
	}
	up := r.upload(id, "", "late.txt", "x")
	if up.status != http.StatusRequestEntityTooLarge || !strings.Contains(up.problem(), "the limit is 16 MiB") {
		t.Errorf("an upload: %v", up)
	}
	if verdicts := of[event.Verdict](r.turn(id, "run: ls -la && rm -f /workspace/fill*").ended(event.CompleteOK).events); len(verdicts) > 0 {
		t.Errorf("deleting was judged: %+v", verdicts)
	}
	r.turn(id, "write /workspace/small.txt hello").ended(event.CompleteOK)
	if a := r.request(http.MethodGet, "/api/files/"+id+"/small.txt?raw=true", nil); a.status != 200 || string(a.body) != "hello" {
		t.Errorf("after deleting: %v", a)
	}
	if up := r.upload(id, "", "late.txt", "x"); up.status != http.StatusOK {
		t.Errorf("an upload after deleting: %v", up)
	}
}
