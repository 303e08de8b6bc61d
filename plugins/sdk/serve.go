package sdk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"

	pluginv1 "github.com/agcluster/agcluster/plugins/proto/agcluster/plugin/v1"
)

// ProtocolVersion is the version of the contract that this SDK speaks.
const ProtocolVersion = 1

// Handshake is what host and plugin must agree on before anything else. The cookie is no secret: it keeps people from starting a
// plugin by hand.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion: ProtocolVersion, MagicCookieKey: "AGCLUSTER_PLUGIN", MagicCookieValue: "9a1c5e7f3b2d4860",
	}
}

// ServeConfig is a plugin: what it says of itself, how it takes its configuration, and exactly one of the three kinds.
type ServeConfig struct {
	Description Description
	// Configure is called once before anything else; nil takes no configuration.
	Configure func(ctx context.Context, req ConfigureRequest) error
	Provider  Provider
	Filter    Filter
	Exporter  Exporter
}

func (c ServeConfig) check() error {
	kinds := 0
	for kind, is := range map[Kind]bool{
		KindProvider: c.Provider != nil, KindFilter: c.Filter != nil, KindExporter: c.Exporter != nil,
	} {
		if is {
			kinds++
		}
		if is != (kind == c.Description.Kind) {
			return fmt.Errorf("the description's kind is %q, which is not what is served", c.Description.Kind)
		}
	}
	if kinds != 1 {
		return errors.New("a plugin is exactly one of provider, filter and exporter")
	}
	return checkCapabilities(c.Description.Capabilities, c.Provider)
}

// Serve runs the plugin until the host ends it. It is all that main has to do. It fails at once when cfg is not one plugin.
func Serve(cfg ServeConfig) error {
	if err := cfg.check(); err != nil {
		return err
	}
	base := &baseServer{cfg: &cfg}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: Handshake(),
		Plugins:         plugin.PluginSet{pluginKey: &grpcPlugin{base: base}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, serverOptions(base)...)...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Info, JSONFormat: true}),
	})
	return nil
}

// maxMessage bounds one gRPC message, in bytes: the largest is a Result with its call.
const maxMessage = 16 << 20

// Logger is what a plugin logs with: JSON lines on standard error, in the form that the host reads and passes on.
func Logger(name string) *zap.Logger {
	enc := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		MessageKey: "@message", LevelKey: "@level", TimeKey: "@timestamp", NameKey: "@module",
		EncodeLevel: zapcore.LowercaseLevelEncoder, EncodeDuration: zapcore.StringDurationEncoder,
		EncodeTime: zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000000Z07:00"),
	})
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(os.Stderr), zapcore.DebugLevel)).Named(name)
}

// pluginKey is the one entry of go-plugin's map.
const pluginKey = "plugin"

func serverOptions(base *baseServer) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.ChainUnaryInterceptor(base.unary), grpc.ChainStreamInterceptor(base.stream),
	}
}

// Plugins is the host's side of go-plugin's map of what a binary serves: one entry, called "plugin", that dispenses a *Client.
func Plugins() plugin.PluginSet { return plugin.PluginSet{pluginKey: &grpcPlugin{}} }

// Client is a plugin as the host sees it. Which of the three kinds answers, Describe says. Stats, Logs and Pull are those of the
// provider, which is the same value: a capability that it lacks answers ErrUnimplemented.
type Client struct {
	Base     Base
	Provider Provider
	Stats    StatsProvider
	Logs     LogsProvider
	Pull     PullProvider
	Filter   Filter
	Exporter Exporter
}

type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	base *baseServer
}

var _ plugin.GRPCPlugin = (*grpcPlugin)(nil)

// GRPCServer implements plugin.GRPCPlugin.
func (p *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	register(s, p.base)
	return nil
}

func register(s grpc.ServiceRegistrar, base *baseServer) {
	pluginv1.RegisterBaseServiceServer(s, base)
	if base.cfg.Provider != nil {
		pluginv1.RegisterProviderServiceServer(s, &providerServer{impl: base.cfg.Provider})
	}
	if base.cfg.Filter != nil {
		pluginv1.RegisterFilterServiceServer(s, &filterServer{impl: base.cfg.Filter})
	}
	if base.cfg.Exporter != nil {
		pluginv1.RegisterExporterServiceServer(s, &exporterServer{impl: base.cfg.Exporter})
	}
}

// GRPCClient implements plugin.GRPCPlugin.
func (p *grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return NewClient(conn), nil
}

// NewClient returns the host's side of a connection to a plugin.
func NewClient(conn grpc.ClientConnInterface) *Client {
	provider := &providerClient{pluginv1.NewProviderServiceClient(conn)}
	return &Client{
		Base:     &baseClient{pluginv1.NewBaseServiceClient(conn)},
		Provider: provider, Stats: provider, Logs: provider, Pull: provider,
		Filter:   &filterClient{pluginv1.NewFilterServiceClient(conn)},
		Exporter: &exporterClient{pluginv1.NewExporterServiceClient(conn)},
	}
}

// ClientOptions are the dial options that a host needs for messages of the largest size.
func ClientOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(math.MaxInt32))}
}
