package store

import (
	"context"
	"fmt"

	"github.com/agcluster/agcluster/core/sandbox"
	"github.com/agcluster/agcluster/core/store/db"
)

var _ sandbox.Volumes = (*Store)(nil)

// PutVolume implements sandbox.Volumes.
func (s *Store) PutVolume(ctx context.Context, v sandbox.Volume) error {
	if err := s.w.PutVolume(ctx, db.PutVolumeParams{Name: v.Name, Provider: v.Provider}); err != nil {
		return fmt.Errorf("keeping volume %s: %w", v.Name, err)
	}
	return nil
}

// DeleteVolume implements sandbox.Volumes.
func (s *Store) DeleteVolume(ctx context.Context, name string) error {
	if err := s.w.DeleteVolume(ctx, name); err != nil {
		return fmt.Errorf("forgetting volume %s: %w", name, err)
	}
	return nil
}

// ListVolumes returns every volume that exists or may exist, by name.
func (s *Store) ListVolumes(ctx context.Context) ([]sandbox.Volume, error) {
	rows, err := s.r.ListVolumes(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	list := make([]sandbox.Volume, 0, len(rows))
	for _, row := range rows {
		list = append(list, sandbox.Volume{Name: row.Name, Provider: row.Provider})
	}
	return list, nil
}
