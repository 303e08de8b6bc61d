package store

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/agcluster/agcluster/core/sandbox"
)

func TestVolumesAreKeptUntilTheyAreForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	ctx := context.Background()
	s := open(t, path)
	a, b := sandbox.Volume{Name: "vol-a", Provider: "docker"}, sandbox.Volume{Name: "vol-b", Provider: "local"}
	for _, v := range []sandbox.Volume{b, a, a} {
		if err := s.PutVolume(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, path)
	if got, err := s.ListVolumes(ctx); err != nil || !slices.Equal(got, []sandbox.Volume{a, b}) {
		t.Errorf("got %v, %v", got, err)
	}
	for range 2 {
		if err := s.DeleteVolume(ctx, "vol-a"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.ListVolumes(ctx); err != nil || !slices.Equal(got, []sandbox.Volume{b}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestOlderSessionsKeepTheirVolume: before there were spares a volume had its session's name.
func TestOlderSessionsKeepTheirVolume(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	put(t, s, "conv-1")
	provider := s.migrations(t)
	if _, err := provider.DownTo(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := provider.Up(ctx); err != nil {
		t.Fatal(err)
	}
	if rec, err := s.Get(ctx, "conv-1"); err != nil || rec.Volume != "conv-1" || rec.ID != "conv-1" {
		t.Errorf("got %+v, %v", rec, err)
	}
}

func (s *Store) migrations(t *testing.T) *goose.Provider {
	t.Helper()
	p, err := s.migrator()
	if err != nil {
		t.Fatal(err)
	}
	return p
}
