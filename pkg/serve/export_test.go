package serve

import (
	"net/http"

	"google.golang.org/protobuf/proto"
)

// Handler is all that is mounted, without a network.
func (s *Server) Handler() http.Handler { return s.mux }

// Words are the words for a pattern; empty: there are none.
func Words(pattern string) string { return words[pattern] }

// Validate holds a message against the rules in its schema.
func Validate(message proto.Message) error {
	v, err := newValidator()
	if err != nil {
		return err
	}
	return v.check(message)
}
