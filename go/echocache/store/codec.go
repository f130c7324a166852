package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrFormat is the error of what a server has under a key and is not an entry.
var ErrFormat = errors.New("the entry is not in the format of echocache")

var errNoValue = errors.New("there is no Value")

func badFormat(err error) error { return fmt.Errorf("%w: %w", ErrFormat, err) }

// decoder makes a value of what was read.
type decoder[V any] func(raw []byte) (V, error)

func decodePlain[T any](raw []byte) (v T, err error) {
	if err = json.Unmarshal(raw, &v); err != nil {
		var none T
		return none, badFormat(err)
	}
	return v, nil
}

// decodeLazy refuses what has no Value, which would else be a zero value. Without a CreatedAt the
// value is of unknown age, and so the zero time.
func decodeLazy[T any](raw []byte) (StaleValue[T], error) {
	var entry struct {
		Value     *T
		CreatedAt time.Time
	}
	if err := json.Unmarshal(raw, &entry); err != nil {
		return StaleValue[T]{}, badFormat(err)
	}
	if entry.Value != nil {
		return StaleValue[T]{Value: *entry.Value, CreatedAt: entry.CreatedAt}, nil
	}
	// It is missing, or null, of which the type of the value may make something.
	var field struct{ Value json.RawMessage }
	err := json.Unmarshal(raw, &field)
	if err == nil && field.Value == nil {
		err = errNoValue
	}
	v := StaleValue[T]{CreatedAt: entry.CreatedAt}
	if err == nil {
		err = json.Unmarshal(field.Value, &v.Value)
	}
	if err != nil {
		return StaleValue[T]{}, badFormat(err)
	}
	return v, nil
}
