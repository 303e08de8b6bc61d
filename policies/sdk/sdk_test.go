package sdk

import (
	"encoding/json"
	"testing"
)

func TestRespondAlwaysAnswersWithAVerdict(t *testing.T) {
	type params struct{ N int }
	for name, c := range map[string]struct {
		input   string
		verdict Verdict
		want    string
	}{
		"allowed":                       {`{"gate":"tool.call","params":{"N":1}}`, Allowed(), `{"verdict":"allow"}`},
		"denied":                        {`{}`, Denied("no"), `{"verdict":"deny","reason":"no"}`},
		"with a state":                  {`{}`, Verdict{Decision: Ask, State: json.RawMessage(`{"n":1}`)}, `{"verdict":"ask","state":{"n":1}}`},
		"input that is no JSON":         {`{`, Allowed(), `{"verdict":"deny","reason":"the policy could not read its input"}`},
		"parameters of another type":    {`{"params":{"N":"x"}}`, Allowed(), `{"verdict":"deny","reason":"the policy could not read its input"}`},
		"a verdict that can't be coded": {`{}`, Verdict{Decision: Allow, State: json.RawMessage(`{`)}, `{"verdict":"deny","reason":"the policy could not write its verdict"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := Respond([]byte(c.input), func(Input[params]) Verdict { return c.verdict })
			if string(got) != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestRespondHandsTheInputOver(t *testing.T) {
	Respond([]byte(`{"gate":"path.access","session":{"id":"s","config_id":"c","workspace":"/w"},"params":{"a":[1]},"state":{"x":2},"input":{"op":"read"}}`),
		func(in Input[map[string][]int]) Verdict {
			if in.Gate != "path.access" || in.Session != (Session{"s", "c", "/w"}) || in.Params["a"][0] != 1 || string(in.State) != `{"x":2}` || string(in.Input) != `{"op":"read"}` {
				t.Errorf("got %+v", in)
			}
			return Allowed()
		})
}
