package config_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/agcluster/agcluster/core/config"
)

func TestCredentialsAreWhatIsMasked(t *testing.T) {
	options := map[string]any{
		"region": "eu", "api_token": "hunter1", "nested": map[string]any{"Password": "hunter2", "size": json.Number("3")},
		"list": []any{map[string]any{"secret": "hunter3"}, "open"}, "keys": []any{"hunter4"}, "credentials": map[string]any{"user": "hunter5"},
	}
	if got, want := config.Credentials(options), []string{"hunter1", "hunter2", "hunter3", "hunter4", "hunter5"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	shown, err := json.Marshal(config.MaskOptions(options))
	const want = `{"api_token":"***","credentials":"***","keys":"***","list":[{"secret":"***"},"open"],"nested":{"Password":"***","size":3},"region":"eu"}`
	if err != nil || string(shown) != want {
		t.Errorf("got %s, %v", shown, err)
	}
}

func TestEffectiveHasEveryKey(t *testing.T) {
	c, sources, err := config.Load(config.LoadOptions{Environ: []string{"API_PORT=9"}, Executable: "/x/y"})
	if err != nil {
		t.Fatal(err)
	}
	list := config.Effective(c, sources)
	if len(list) != len(config.Describe()) {
		t.Errorf("%d settings of %d keys", len(list), len(config.Describe()))
	}
	for _, s := range list {
		if s.Key == "api.port" && (s.Value != 9 || s.Source.Kind != config.KindEnvironment) {
			t.Errorf("got %+v", s)
		}
	}
}
