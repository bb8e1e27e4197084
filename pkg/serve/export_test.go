package serve

import (
	"context"
	"net/http"

	"google.golang.org/protobuf/proto"
)

// Handler is all that is mounted, without a network.
func (s *Server) Handler() http.Handler { return s.mux }

// Admitted is a request as admission passes it on.
func Admitted(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), visitKey{}, &visit{request: r}))
}

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
