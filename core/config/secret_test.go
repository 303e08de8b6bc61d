package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"github.com/agcluster/agcluster/core/config"
)

func TestSecretPrintsAsStars(t *testing.T) {
	const value = "hunter2hunter2"
	secret := config.NewSecret(value)
	hidden := struct{ inner config.Secret }{secret}
	var outs []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		outs = append(outs, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, &secret), fmt.Sprintf(verb, hidden), fmt.Sprintf(verb, []any{secret}))
	}
	js, err := json.Marshal(map[string]any{"a": secret, "b": &secret, "c": hidden})
	if err != nil {
		t.Fatal(err)
	}
	yml, err := yaml.Marshal(map[string]any{"a": secret})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&log), zap.DebugLevel)
	zap.New(core).Info("x", zap.Any("a", secret), zap.Stringer("b", secret), zap.Reflect("c", secret), zap.Any("d", hidden))
	outs = append(outs, string(js), string(yml), log.String())
	for _, out := range outs {
		if strings.Contains(out, value) || strings.Contains(out, fmt.Sprintf("%x", value)) {
			t.Errorf("shown: %s", out)
		}
	}
	if fmt.Sprint(secret) != "***" || !strings.Contains(string(js), `"a":"***"`) || !strings.Contains(log.String(), `"a":"***"`) {
		t.Errorf("got %v, %s, %s", secret, js, log.String())
	}
	if secret.Reveal() != value || secret.IsZero() {
		t.Error("the value is lost")
	}
	if empty := config.NewSecret(""); !empty.IsZero() || empty.Reveal() != "" || fmt.Sprint(empty) != "" {
		t.Error("an empty secret is none")
	}
}
