package guard

import (
	"encoding/json"

	"github.com/agcluster/agcluster/core/preset"
)

// InForce is a policy that is asked for a session: a module with the parameters of one layer.
type InForce struct {
	Name string
	// Digest is "sha256:" and the hex digest of the module's bytes.
	Digest string
	// Params is the layer's parameters with the module's defaults filled in, an object.
	Params json.RawMessage
}

// InForce lists the policies that are asked for a session of this configuration, in order. A module that both the operator and the
// configuration name is there once for each, because both must allow.
func (g *Guard) InForce(c preset.Config) ([]InForce, error) {
	chain, err := g.resolve(c)
	if err != nil {
		return nil, err
	}
	list := make([]InForce, len(chain))
	for i, l := range chain {
		info := l.module.Info()
		list[i] = InForce{Name: info.Name, Digest: info.Digest, Params: l.params}
	}
	return list, nil
}
