package sdk

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"

	pluginv1 "github.com/agcluster/agcluster/plugins/proto/agcluster/plugin/v1"
)

type baseServer struct {
	pluginv1.UnimplementedBaseServiceServer
	cfg *ServeConfig
	// begun says that Configure was called, configured that it succeeded.
	begun, configured atomic.Bool
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
	if !s.begun.CompareAndSwap(false, true) {
		return nil, toStatus(Permanent(errors.New("the plugin was configured before; that happens once per process")))
	}
	if len(s.cfg.Description.OptionsSchema) == 0 && !empty(r.GetOptions()) {
		return nil, toStatus(Permanent(errors.New("the plugin takes no options")))
	}
	if s.cfg.Configure != nil {
		if err := s.cfg.Configure(ctx, ConfigureRequest{
			HostID: r.GetHostId(), DataDir: r.GetDataDir(), RunDir: r.GetRunDir(), Options: r.GetOptions(),
		}); err != nil {
			return nil, toStatus(err)
		}
	}
	s.configured.Store(true)
	return &pluginv1.ConfigureResponse{}, nil
}

// empty says whether options say nothing.
func empty(options []byte) bool {
	switch string(bytes.TrimSpace(options)) {
	case "", "{}", "null":
		return true
	default:
		return false
	}
}

// ready refuses what is asked of a plugin that was not configured: its author may rely on that order.
func (s *baseServer) ready(method string) error {
	ours := strings.HasPrefix(method, "/agcluster.") && !strings.HasPrefix(method, "/"+pluginv1.BaseService_ServiceDesc.ServiceName+"/")
	if ours && !s.configured.Load() {
		return toStatus(Permanent(errors.New("the plugin is not configured")))
	}
	return nil
}

func (s *baseServer) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := s.ready(info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (s *baseServer) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := s.ready(info.FullMethod); err != nil {
		return err
	}
	return next(srv, stream)
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
