package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/event"
)

const eventRef = "#/components/schemas/Event"

// Event is an event in a JSON answer, encoded already.
type Event struct{ json.RawMessage }

// Schema implements huma.SchemaProvider.
func (Event) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Ref: eventRef} }

// eventSchema is the union of all events. core/event has the only definition; this reads it.
func eventSchema(r huma.Registry) *huma.Schema {
	union := &huma.Schema{
		Description:   "What can happen in a session. `type` tells which it is.",
		Discriminator: &huma.Discriminator{PropertyName: "type", Mapping: map[string]string{}},
	}
	for _, data := range event.Types() {
		t := reflect.TypeOf(data)
		// The data's own schema is only a source: the event has the header's fields beside its own.
		own := huma.SchemaFromType(r, t)
		name := t.Name() + "Event"
		r.Map()[name] = &huma.Schema{
			Type: huma.TypeObject, Description: own.Description,
			Properties: merge(own.Properties, header(data.Type())),
			Required:   slices.Concat([]string{"type", "time"}, own.Required),
		}
		ref := "#/components/schemas/" + name
		union.OneOf = append(union.OneOf, &huma.Schema{Ref: ref})
		union.Discriminator.Mapping[string(data.Type())] = ref
	}
	return union
}

func header(t event.Type) map[string]*huma.Schema {
	return map[string]*huma.Schema{
		"event_id": {Type: huma.TypeInteger, Format: "int64", Description: "Counts from 1 within the session, without gaps; absent in previews (text_delta)."},
		"type":     {Type: huma.TypeString, Enum: []any{string(t)}},
		"time":     {Type: huma.TypeString, Format: "date-time"},
		"turn":     {Type: huma.TypeInteger, Format: "int64", Description: "Counts from 1; absent outside any turn."},
	}
}

func merge(own, head map[string]*huma.Schema) map[string]*huma.Schema {
	all := maps.Clone(own)
	maps.Copy(all, head)
	return all
}

// media documents one form of an answer.
func media(s *huma.Schema) *huma.MediaType { return &huma.MediaType{Schema: s} }

func answers(op *huma.Operation, description string, content map[string]*huma.MediaType) {
	op.Responses = map[string]*huma.Response{"200": {Description: description, Content: content}}
}

func chatAnswers(r huma.Registry, op *huma.Operation) {
	answers(op, "The turn: as it happens, or when it has ended.", map[string]*huma.MediaType{
		"application/json":  media(r.Schema(reflect.TypeFor[ChatAnswer](), true, "ChatAnswer")),
		"text/event-stream": media(&huma.Schema{Ref: eventRef}),
	})
}

func launchAnswers(r huma.Registry, op *huma.Operation) {
	answers(op, "The session, when its agent is ready.", map[string]*huma.MediaType{
		"application/json":  media(r.Schema(reflect.TypeFor[Launched](), true, "Launched")),
		"text/event-stream": media(r.Schema(reflect.TypeFor[LaunchProgress](), true, "LaunchProgress")),
	})
}

func metricsAnswers(_ huma.Registry, op *huma.Operation) {
	answers(op, "Numbers in Prometheus' text format. They tell nothing of a session.", map[string]*huma.MediaType{
		"text/plain": media(&huma.Schema{Type: huma.TypeString}),
	})
}

func eventAnswers(_ huma.Registry, op *huma.Operation) {
	answers(op, "Events as they happen.", map[string]*huma.MediaType{"text/event-stream": media(&huma.Schema{Ref: eventRef})})
}
