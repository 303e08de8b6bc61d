// Package event owns what can happen in a session: the event types (the only definition; the API, the store and the generated
// clients come from it) and the append-only log that numbers, keeps, replays and fans them out. It knows neither HTTP nor SQL.
//
// To add a type: a struct in data.go with its Type method, a constant, and a line each in
// Types and Decode.
package event

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Event is one numbered entry of a session's log. A preview (TextDelta) has ID 0 and is not kept.
//
// Its JSON is flat: {"event_id":7,"type":"text","time":"…","turn":1,"content":"…"}. The number is called event_id because "id"
// is the tool use id in tool_use and tool_result, as AgCluster Container documents them.
type Event struct {
	// ID counts from 1 within the session, without gaps.
	ID int64
	// Turn counts from 1; 0 is outside any turn.
	Turn int64
	Time time.Time
	Data Data
}

type header struct {
	ID   int64     `json:"event_id,omitempty"`
	Type Type      `json:"type"`
	Time time.Time `json:"time"`
	Turn int64     `json:"turn,omitempty"`
}

// Types lists an empty value of every type, for those who generate schemas and clients.
func Types() []Data {
	return []Data{
		User{},
		Init{},
		Text{},
		TextDelta{},
		Thinking{},
		ToolUse{},
		ToolResult{},
		TodoUpdate{},
		ApprovalRequired{},
		ApprovalResolved{},
		Verdict{},
		Status{},
		Settings{},
		Error{},
		Complete{},
	}
}

// MarshalJSON implements json.Marshaler.
func (e Event) MarshalJSON() ([]byte, error) {
	return e.AppendJSON(nil)
}

// AppendJSON appends the event's JSON to b. It is the same as json.Marshal's, which would read what MarshalJSON returns once more.
func (e Event) AppendJSON(b []byte) ([]byte, error) {
	if e.Data == nil {
		return b, fmt.Errorf("marshalling event %d: no data", e.ID)
	}
	body, err := json.Marshal(e.Data)
	if err != nil {
		return b, fmt.Errorf("marshalling %s event: %w", e.Data.Type(), err)
	}
	if y := e.Time.UTC().Year(); y < 0 || y > 9999 {
		return b, fmt.Errorf("marshalling event %d: its year is %d", e.ID, y)
	}
	b = append(b, '{')
	if e.ID != 0 {
		b = append(b, `"event_id":`...)
		b = append(strconv.AppendInt(b, e.ID, 10), ',')
	}
	// No type has a character that JSON would escape.
	b = append(b, `"type":"`...)
	b = append(b, e.Data.Type()...)
	b = append(b, `","time":"`...)
	b = e.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if e.Turn != 0 {
		b = append(b, `,"turn":`...)
		b = strconv.AppendInt(b, e.Turn, 10)
	}
	if len(body) <= 2 {
		return append(b, '}'), nil
	}
	// Both are objects: join them without another round through a map.
	b = append(b, ',')
	return append(b, body[1:]...), nil
}

// UnmarshalJSON implements json.Unmarshaler. An unknown type is an error.
func (e *Event) UnmarshalJSON(b []byte) error {
	var head header
	if err := json.Unmarshal(b, &head); err != nil {
		return fmt.Errorf("reading event header: %w", err)
	}
	data, err := Decode(head.Type, b)
	if err != nil {
		return err
	}
	*e = Event{ID: head.ID, Turn: head.Turn, Time: head.Time, Data: data}
	return nil
}

// Decode reads the data of an event of type t from a JSON object; fields of others are ignored.
func Decode(t Type, b []byte) (Data, error) {
	switch t {
	case TypeUser:
		return decode[User](b)
	case TypeInit:
		return decode[Init](b)
	case TypeText:
		return decode[Text](b)
	case TypeTextDelta:
		return decode[TextDelta](b)
	case TypeThinking:
		return decode[Thinking](b)
	case TypeToolUse:
		return decode[ToolUse](b)
	case TypeToolResult:
		return decode[ToolResult](b)
	case TypeTodoUpdate:
		return decode[TodoUpdate](b)
	case TypeApprovalRequired:
		return decode[ApprovalRequired](b)
	case TypeApprovalResolved:
		return decode[ApprovalResolved](b)
	case TypeVerdict:
		return decode[Verdict](b)
	case TypeStatus:
		return decode[Status](b)
	case TypeSettings:
		return decode[Settings](b)
	case TypeError:
		return decode[Error](b)
	case TypeComplete:
		return decode[Complete](b)
	default:
		return nil, fmt.Errorf("reading event: unknown type %q", t)
	}
}

func decode[T Data](b []byte) (Data, error) {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("reading %s event: %w", v.Type(), err)
	}
	return v, nil
}
