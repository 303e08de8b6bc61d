package sandbox

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

// pooled keeps spares: two of each configuration, four in all.
func pooled(c *Config) {
	c.Spares = SpareConfig{Size: 2, Max: 4, MemoryBytes: 4 << 30, MaxAge: time.Hour}
}

// wants is a launch of a configuration with the given model.
func wants(id, model string) session.SandboxSpec {
	return session.SandboxSpec{SessionID: id, Provider: "fake", Agent: &agent.SessionSpec{
		TranscriptID: "of-" + id, Model: model, Tools: []string{"Bash"}, Cwd: "/workspace",
		SystemPrompt: agent.SystemPrompt{Append: "for " + id},
	}}
}

func launch(tb testing.TB, p *Pool, spec session.SandboxSpec) *Sandbox {
	tb.Helper()
	s, err := p.Start(context.Background(), spec)
	if err != nil {
		tb.Fatal(err)
	}
	return s.(*Sandbox)
}

// eventually waits until ok says so; the pool's own work is what it waits for.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	limit := time.After(outer)
	for !ok() {
		select {
		case <-limit:
			tb.Fatalf("not %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

func ready(tb testing.TB, p *Pool, n int) {
	tb.Helper()
	eventually(tb, "ready", func() bool { st := p.Status(); return st.Ready == n && st.Starting == 0 })
}

func TestASpareIsClaimedByTheNextLaunchOfItsConfiguration(t *testing.T) {
	p, fake := newPool(t, nil, pooled)
	first := launch(t, p, wants("conv-1", "opus"))
	if info := first.Info(); info.Start.Kind != session.StartCold || !strings.Contains(info.Start.Reason, "no spare") ||
		info.TranscriptID != "of-conv-1" || !strings.HasPrefix(info.Volume, "vol-") {
		t.Errorf("the first: %+v", info)
	}
	ready(t, p, 1)
	made := fake.created[1]
	if made.Labels[LabelSession] != "" || made.Volume == first.volume {
		t.Errorf("the spare was asked for as %+v", made)
	}
	other := launch(t, p, wants("conv-2", "haiku"))
	if other.Info().Start.Kind != session.StartCold {
		t.Error("another configuration took the spare")
	}
	second := launch(t, p, wants("conv-3", "opus"))
	info := second.Info()
	if info.Start.Kind != session.StartWarm || second.id != made.ID || info.Volume != made.Volume || info.TranscriptID == "of-conv-3" {
		t.Errorf("the second: %+v, sandbox %s", info, second.id)
	}
	fake.mu.Lock()
	box := fake.sandboxes[made.ID]
	fake.mu.Unlock()
	configured, prepared := box.specs()
	if len(prepared) != 1 || prepared[0].SystemPrompt.Append != "" || prepared[0].TranscriptID != info.TranscriptID {
		t.Errorf("prepared with %+v", prepared)
	}
	if len(configured) != 1 || configured[0].SystemPrompt.Append != "for conv-3" || configured[0].TranscriptID != info.TranscriptID {
		t.Errorf("configured with %+v", configured)
	}
	// Its tunnel is dialled now, and not before.
	box.dialled(t)
	if c, ok := p.Client("conv-3"); !ok || c != second.client {
		t.Error("the pool does not know it")
	}
	if st := p.Status(); st.Warm != 1 || st.Cold != 2 {
		t.Errorf("%+v", st)
	}
}

func TestWhatCanNotBeToldLateStartsCold(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*session.SandboxSpec)
		why    string
	}{
		"a session that goes on": {func(s *session.SandboxSpec) { s.Volume = "vol-old" }, "transcript"},
		"only files":             {func(s *session.SandboxSpec) { s.Agent = nil }, "files"},
		"environment":            {func(s *session.SandboxSpec) { s.Agent.Env = map[string]string{"A": "b"} }, "environment"},
		"another limit":          {func(s *session.SandboxSpec) { s.Limits = preset.ResourceLimits{CPUQuota: 1000} }, "no spare"},
		"another turn limit":     {func(s *session.SandboxSpec) { s.Agent.MaxTurns = 3 }, "no spare"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := newPool(t, nil, pooled)
			if why := p.Want(wants("", "opus")); why != "" {
				t.Fatal(why)
			}
			ready(t, p, 1)
			spec := wants("conv-1", "opus")
			c.change(&spec)
			if got := launch(t, p, spec).Info().Start; got.Kind != session.StartCold || !strings.Contains(got.Reason, c.why) {
				t.Errorf("got %+v", got)
			}
		})
	}
	t.Run("no pool", func(t *testing.T) {
		p, _ := newPool(t, nil)
		if got := launch(t, p, wants("conv-1", "")).Info().Start; got.Kind != session.StartCold || !strings.Contains(got.Reason, "switched off") {
			t.Errorf("got %+v", got)
		}
		if p.Want(wants("", "")) == "" {
			t.Error("it promises spares")
		}
	})
}

func TestEachSpareIsGivenOnce(t *testing.T) {
	p, _ := newPool(t, nil, pooled)
	launch(t, p, wants("conv-0", "m"))
	launch(t, p, wants("conv-1", "m")) // demand for two
	ready(t, p, 2)
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for _, id := range strings.Split("abcdefgh", "") {
		wg.Go(func() {
			s, err := p.Start(context.Background(), wants("conv-"+id, "m"))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[s.Info().Volume] {
				t.Errorf("%s was given twice", s.Info().Volume)
			}
			seen[s.Info().Volume] = true
		})
	}
	wg.Wait()
	if st := p.Status(); st.Warm < 2 || st.Sandboxes != 10 {
		t.Errorf("%+v", st)
	}
}

func TestAnUnwellSpareIsReplaced(t *testing.T) {
	t.Run("when it is claimed", func(t *testing.T) {
		p, fake := newPool(t, nil, pooled)
		p.Want(wants("", "m"))
		ready(t, p, 1)
		spare := fake.only(t)
		spare.become(agent.CLIExited)
		s := launch(t, p, wants("conv-1", "m"))
		if s.Info().Start.Kind != session.StartCold {
			t.Error("the unwell spare was given")
		}
		eventually(t, "removed with its volume", func() bool {
			fake.mu.Lock()
			defer fake.mu.Unlock()
			return !fake.volumes[fake.created[0].Volume]
		})
	})
	t.Run("when it refuses the session", func(t *testing.T) {
		p, fake := newPool(t, nil, pooled)
		fake.configure = func(agent.SessionSpec) error { return errFake }
		p.Want(wants("", "m"))
		ready(t, p, 1)
		fake.set(func() { fake.configure = nil })
		if s := launch(t, p, wants("conv-1", "m")); s.Info().Start.Kind != session.StartCold {
			t.Error("the unwell spare was given")
		}
	})
	t.Run("when it is looked at", func(t *testing.T) {
		p, fake := newPool(t, nil, pooled)
		p.Want(wants("", "m"))
		ready(t, p, 1)
		id := fake.created[0].ID
		fake.only(t).become(agent.CLIExited)
		p.spares.check()
		p.spares.kick()
		eventually(t, "replaced", func() bool {
			fake.mu.Lock()
			defer fake.mu.Unlock()
			return fake.sandboxes[id] == nil && len(fake.sandboxes) == 1
		})
	})
	t.Run("when it is old", func(t *testing.T) {
		p, fake := newPool(t, nil, pooled)
		p.Want(wants("", "m"))
		ready(t, p, 1)
		id := fake.created[0].ID
		p.spares.mu.Lock()
		for _, sh := range p.spares.shelves {
			sh.ready[0].born = time.Now().Add(-2 * time.Hour)
		}
		p.spares.mu.Unlock()
		p.spares.check()
		p.spares.kick()
		eventually(t, "replaced", func() bool {
			fake.mu.Lock()
			defer fake.mu.Unlock()
			return fake.sandboxes[id] == nil && len(fake.sandboxes) == 1
		})
	})
}

func TestSparesFollowDemand(t *testing.T) {
	p, fake := newPool(t, nil, pooled)
	for _, id := range []string{"a", "b", "c", "d"} {
		if err := launch(t, p, wants("conv-"+id, "m")).Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	ready(t, p, 2) // not more than Size
	// Nobody has asked for them in a long time.
	p.spares.mu.Lock()
	for _, sh := range p.spares.shelves {
		sh.launches = []time.Time{time.Now().Add(-2 * time.Hour)}
	}
	p.spares.mu.Unlock()
	p.spares.check()
	eventually(t, "gone", func() bool { return fake.left() == 0 })
	if st := p.Status(); st.Ready != 0 || st.MemoryBytes != 0 || len(p.spares.shelves) != 0 {
		t.Errorf("%+v", st)
	}
}

func TestSparesKeepToTheirBounds(t *testing.T) {
	t.Run("in number, in favour of who was asked for last", func(t *testing.T) {
		p, _ := newPool(t, nil, pooled, func(c *Config) { c.Spares.Max = 1 })
		launch(t, p, wants("conv-1", "old"))
		ready(t, p, 1)
		launch(t, p, wants("conv-2", "new"))
		eventually(t, "made room", func() bool {
			p.spares.mu.Lock()
			defer p.spares.mu.Unlock()
			for _, sh := range p.spares.shelves {
				if len(sh.ready) == 1 && sh.spec.Agent.Model == "new" {
					return true
				}
			}
			return false
		})
		ready(t, p, 1)
	})
	t.Run("in memory", func(t *testing.T) {
		p, _ := newPool(t, nil, pooled, func(c *Config) { c.Spares.MemoryBytes = spareGuess + spareBytes/2 })
		p.Want(wants("", "a"))
		p.Want(wants("", "b"))
		ready(t, p, 1)
		if p.spares.neediest() != nil {
			t.Error("there is room for another")
		}
	})
}

func TestASpareThatCanNotBeMadeIsLeftAloneForAWhile(t *testing.T) {
	p, fake := newPool(t, nil, pooled)
	fake.prepare = func(agent.SessionSpec) error { return errFake }
	p.Want(wants("", "m"))
	eventually(t, "given up", func() bool { return fake.tries() > 0 && fake.left() == 0 })
	eventually(t, "noted", func() bool {
		p.spares.mu.Lock()
		defer p.spares.mu.Unlock()
		for _, sh := range p.spares.shelves {
			return sh.failures == 1 && time.Until(sh.retry) > 0
		}
		return false
	})
	if p.spares.neediest() != nil {
		t.Error("it is tried again at once")
	}
	if len(fake.created) != 1 {
		t.Errorf("tried %d times", len(fake.created))
	}
}

func TestCloseRemovesSparesWithTheirVolumes(t *testing.T) {
	p, fake := newPool(t, nil, pooled)
	p.Want(wants("", "a"))
	p.Want(wants("", "b"))
	ready(t, p, 2)
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if fake.left() != 0 || len(fake.volumes) != 0 || p.volumes.(*books).count() != 0 {
		t.Errorf("%d sandboxes, volumes %v, %d noted", fake.left(), fake.volumes, p.volumes.(*books).count())
	}
}

func TestVolumesAreNotedBeforeTheyAreMade(t *testing.T) {
	p, fake := newPool(t, nil)
	noted := p.volumes.(*books)
	fake.create = func(context.Context) error {
		fake.mu.Lock()
		defer fake.mu.Unlock()
		if !noted.has(fake.created[len(fake.created)-1].Volume) {
			t.Error("not noted")
		}
		return errFake
	}
	if _, err := p.Start(context.Background(), wants("conv-1", "")); err == nil {
		t.Fatal("it was made to fail")
	}
	if noted.count() != 0 || len(fake.volumes) != 0 {
		t.Error("a volume is left of a start that failed")
	}
	fake.create = nil
	s := launch(t, p, wants("conv-2", ""))
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := p.Reclaim(context.Background(), "other", []Volume{{Name: s.volume, Provider: "fake"}}); err != nil || !noted.has(s.volume) {
		t.Errorf("another provider's volume: %v", err)
	}
	if err := p.Reclaim(context.Background(), "fake", []Volume{{Name: s.volume, Provider: "fake"}}); err != nil || noted.count() != 0 {
		t.Errorf("reclaiming: %v, %d noted", err, noted.count())
	}
}

func TestALaunchThatWaitsTellsItsPlace(t *testing.T) {
	p, fake := newPool(t, nil, func(c *Config) { c.Slots = 1 })
	hold := make(chan struct{})
	fake.create = func(context.Context) error { <-hold; return nil }
	var wg sync.WaitGroup
	wg.Go(func() { launch(t, p, wants("conv-1", "")) })
	eventually(t, "started", func() bool { return fake.left() == 1 })
	places := make(chan int, 8)
	wg.Go(func() {
		spec := wants("conv-2", "")
		spec.Progress = func(p session.Progress) { places <- p.Position }
		launch(t, p, spec)
	})
	if got := <-places; got != 1 {
		t.Errorf("place %d", got)
	}
	if st := p.Status(); st.Waiting != 1 {
		t.Errorf("%+v", st)
	}
	close(hold)
	if got := <-places; got != 0 {
		t.Errorf("place %d", got)
	}
	wg.Wait()
}
