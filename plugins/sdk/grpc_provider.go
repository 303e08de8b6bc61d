package sdk

import (
	"context"

	pluginv1 "github.com/agcluster/agcluster/plugins/proto/agcluster/plugin/v1"
)

type providerServer struct {
	pluginv1.UnimplementedProviderServiceServer
	impl Provider
}

// Create implements ProviderServiceServer.
func (s *providerServer) Create(ctx context.Context, r *pluginv1.CreateRequest) (*pluginv1.CreateResponse, error) {
	box, err := s.impl.Create(ctx, CreateRequest{
		ID: r.GetId(), Labels: r.GetLabels(), Volume: r.GetVolume(), Image: r.GetImage(), Env: r.GetEnv(), Token: r.GetToken(),
		Resources: Resources{
			MilliCPU: r.GetResources().GetMilliCpu(), MemoryBytes: r.GetResources().GetMemoryBytes(),
			DiskBytes: r.GetResources().GetDiskBytes(), PIDs: r.GetResources().GetPids(),
		},
	})
	if err != nil {
		return nil, toStatus(err)
	}
	return &pluginv1.CreateResponse{Sandbox: sandboxToWire(box)}, nil
}

// Get implements ProviderServiceServer.
func (s *providerServer) Get(ctx context.Context, r *pluginv1.GetRequest) (*pluginv1.GetResponse, error) {
	box, err := s.impl.Get(ctx, GetRequest{ID: r.GetId()})
	if err != nil {
		return nil, toStatus(err)
	}
	return &pluginv1.GetResponse{Sandbox: sandboxToWire(box)}, nil
}

// List implements ProviderServiceServer.
func (s *providerServer) List(ctx context.Context, r *pluginv1.ListRequest) (*pluginv1.ListResponse, error) {
	list, err := s.impl.List(ctx, ListRequest{Labels: r.GetLabels()})
	if err != nil {
		return nil, toStatus(err)
	}
	out := &pluginv1.ListResponse{}
	for _, box := range list.Sandboxes {
		out.Sandboxes = append(out.Sandboxes, sandboxToWire(box))
	}
	return out, nil
}

// Destroy implements ProviderServiceServer.
func (s *providerServer) Destroy(ctx context.Context, r *pluginv1.DestroyRequest) (*pluginv1.DestroyResponse, error) {
	if err := s.impl.Destroy(ctx, DestroyRequest{ID: r.GetId(), Volume: r.GetVolume()}); err != nil {
		return nil, toStatus(err)
	}
	return &pluginv1.DestroyResponse{}, nil
}

func sandboxToWire(b Sandbox) *pluginv1.Sandbox {
	return &pluginv1.Sandbox{
		Id: b.ID, Labels: b.Labels, State: string(b.State), Limits: b.Limits, Detail: b.Detail,
		Endpoint: &pluginv1.Endpoint{Url: b.Endpoint.URL, Headers: b.Endpoint.Headers},
	}
}

func sandboxFromWire(b *pluginv1.Sandbox) Sandbox {
	return Sandbox{
		ID: b.GetId(), Labels: b.GetLabels(), State: State(b.GetState()), Limits: b.GetLimits(), Detail: b.GetDetail(),
		Endpoint: Endpoint{URL: b.GetEndpoint().GetUrl(), Headers: b.GetEndpoint().GetHeaders()},
	}
}

type providerClient struct {
	c pluginv1.ProviderServiceClient
}

var _ Provider = (*providerClient)(nil)

// Create implements Provider.
func (p *providerClient) Create(ctx context.Context, req CreateRequest) (Sandbox, error) {
	r, err := p.c.Create(ctx, &pluginv1.CreateRequest{
		Id: req.ID, Labels: req.Labels, Volume: req.Volume, Image: req.Image, Env: req.Env, Token: req.Token,
		Resources: &pluginv1.Resources{
			MilliCpu: req.Resources.MilliCPU, MemoryBytes: req.Resources.MemoryBytes,
			DiskBytes: req.Resources.DiskBytes, Pids: req.Resources.PIDs,
		},
	})
	if err != nil {
		return Sandbox{}, fromStatus(ctx, err)
	}
	return sandboxFromWire(r.GetSandbox()), nil
}

// Get implements Provider.
func (p *providerClient) Get(ctx context.Context, req GetRequest) (Sandbox, error) {
	r, err := p.c.Get(ctx, &pluginv1.GetRequest{Id: req.ID})
	if err != nil {
		return Sandbox{}, fromStatus(ctx, err)
	}
	return sandboxFromWire(r.GetSandbox()), nil
}

// List implements Provider.
func (p *providerClient) List(ctx context.Context, req ListRequest) (ListResponse, error) {
	r, err := p.c.List(ctx, &pluginv1.ListRequest{Labels: req.Labels})
	if err != nil {
		return ListResponse{}, fromStatus(ctx, err)
	}
	var out ListResponse
	for _, b := range r.GetSandboxes() {
		out.Sandboxes = append(out.Sandboxes, sandboxFromWire(b))
	}
	return out, nil
}

// Destroy implements Provider.
func (p *providerClient) Destroy(ctx context.Context, req DestroyRequest) error {
	_, err := p.c.Destroy(ctx, &pluginv1.DestroyRequest{Id: req.ID, Volume: req.Volume})
	return fromStatus(ctx, err)
}
