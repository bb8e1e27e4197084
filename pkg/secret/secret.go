// Package secret holds values that must not be printed.
package secret

import "log/slog"

const redacted = "REDACTED"

// String is a text that prints as REDACTED, whatever prints it.
type String struct{ value string }

// NewString wraps a secret.
func NewString(value string) String { return String{value} }

// Reveal returns the secret. Do not pass it to anything that prints.
func (s String) Reveal() string { return s.value }

// IsZero says whether there is no secret.
func (s String) IsZero() bool { return s.value == "" }

// String implements fmt.Stringer.
func (String) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (String) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (String) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and YAML.
func (String) MarshalText() ([]byte, error) { return []byte(redacted), nil }
