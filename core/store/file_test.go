package store

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestReopenKeepsEverything(t *testing.T) {
	for _, name := range []string{"agcluster.db", "a b?c#d%41&e=f.db", "ünïcode;'\".db"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "new folder?", name)
			s := open(t, path)
			check := write(t, s)
			check(s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			check(open(t, path))
			entries, err := os.ReadDir(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), name) {
					t.Errorf("a file of another name was made: %q", e.Name())
				}
			}
		})
	}
}

func TestARelativePathAndDoubledSlashes(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, path := range []string{"data/a.db", "./b.db", "/" + dir + "//c.db", "d:e.db"} {
		s, err := Open(context.Background(), path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		write(t, s)(s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// TestWhatIsAcknowledgedSurvivesAKill copies the files while the store is open and in use, as they are at the moment of a kill -9.
func TestWhatIsAcknowledgedSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "agcluster.db"))
	check := write(t, s)
	after := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, "agcluster.db"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(after, "agcluster.db"+suffix), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	killed := open(t, filepath.Join(after, "agcluster.db"))
	check(killed)
	appendAll(t, killed, "conv-1", texts(3, "four"))
}

func TestASecondHandleSeesWhatTheFirstWrote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agcluster.db")
	first := open(t, path)
	second := open(t, path)
	check := write(t, first)
	check(second)
	appendAll(t, second, "conv-1", texts(3, "four"))
	if last, err := first.LastEventID(context.Background(), "conv-1"); err != nil || last != 4 {
		t.Errorf("got %d, %v", last, err)
	}
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, filepath.Join(dir, "agcluster.db"))
	write(t, s)
	for name, want := range map[string]fs.FileMode{
		"": fs.ModeDir | 0o700, "agcluster.db": 0o600, "agcluster.db-wal": 0o600, "agcluster.db-shm": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%q: got %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}

func TestMigrationsAreIdempotent(t *testing.T) {
	s := fresh(t)
	check := write(t, s)
	for range 2 {
		if err := s.migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	check(s)
}

func TestCloseTwiceAndUseAfterIt(t *testing.T) {
	s, err := Open(context.Background(), filepath.Join(t.TempDir(), "agcluster.db"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "conv-1")
	var wg sync.WaitGroup
	started := make(chan struct{}, 1)
	wg.Go(func() {
		for {
			if _, err := s.Get(context.Background(), "conv-1"); err != nil {
				return // closed
			}
			select {
			case started <- struct{}{}:
			default:
			}
		}
	})
	<-started
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if err := s.Put(context.Background(), record("conv-1", "owner", epoch)); err == nil {
		t.Error("a closed store took a record")
	}
	if err := s.AppendEvents(context.Background(), "conv-1", texts(0, "one")); err == nil {
		t.Error("a closed store took an event")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database at all ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a file that is no database": garbage, "a folder": dir, "a file as folder": garbage + "/x.db"} {
		if s, err := Open(context.Background(), path); err == nil {
			t.Errorf("%s was opened: %v", name, s.Close())
		}
	}
}
