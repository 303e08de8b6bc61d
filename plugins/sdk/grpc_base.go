package sdk

import (
	"context"

	pluginv1 "github.com/agcluster/agcluster/plugins/proto/agcluster/plugin/v1"
)

type baseServer struct {
	pluginv1.UnimplementedBaseServiceServer
	cfg *ServeConfig
}

// Describe implements BaseServiceServer.
func (s *baseServer) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	d := s.cfg.Description
	return &pluginv1.DescribeResponse{
		Name: d.Name, Version: d.Version, Kind: string(d.Kind), Capabilities: d.Capabilities, OptionsSchema: d.OptionsSchema,
	}, nil
}

// Configure implements BaseServiceServer.
func (s *baseServer) Configure(ctx context.Context, r *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	if s.cfg.Configure != nil {
		if err := s.cfg.Configure(ctx, ConfigureRequest{
			HostID: r.GetHostId(), DataDir: r.GetDataDir(), RunDir: r.GetRunDir(), Options: r.GetOptions(),
		}); err != nil {
			return nil, toStatus(err)
		}
	}
	return &pluginv1.ConfigureResponse{}, nil
}

type baseClient struct{ c pluginv1.BaseServiceClient }

var _ Base = (*baseClient)(nil)

// Describe implements Base.
func (b *baseClient) Describe(ctx context.Context) (Description, error) {
	r, err := b.c.Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		return Description{}, fromStatus(ctx, err)
	}
	return Description{
		Name: r.GetName(), Version: r.GetVersion(), Kind: Kind(r.GetKind()), Capabilities: r.GetCapabilities(),
		OptionsSchema: r.GetOptionsSchema(),
	}, nil
}

// Configure implements Base.
func (b *baseClient) Configure(ctx context.Context, req ConfigureRequest) error {
	_, err := b.c.Configure(ctx, &pluginv1.ConfigureRequest{
		HostId: req.HostID, DataDir: req.DataDir, RunDir: req.RunDir, Options: req.Options,
	})
	return fromStatus(ctx, err)
}
