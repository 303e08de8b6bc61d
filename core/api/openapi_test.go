package api

import (
	"bytes"
	"os"
	"testing"

	"go.uber.org/zap"
)

func TestOpenAPIIsCurrent(t *testing.T) {
	a, _ := New(Config{Version: "1"}, Deps{}, zap.NewNop())
	got, err := a.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("openapi.yaml")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("openapi.yaml is not current (%v): run `make gen`", err)
	}
}
