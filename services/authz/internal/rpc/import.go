package rpc

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
	"github.com/meridian-iam/meridian/services/authz/internal/facts"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// ImportRelationships implements RelationshipService.
func (s *Relationships) ImportRelationships(
	ctx context.Context, stream *connect.ClientStream[authzv1.ImportRelationshipsRequest],
) (*authzv1.ImportRelationshipsResponse, error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return nil, err
	}
	i := &importing{s: s, caller: caller, out: &authzv1.ImportRelationshipsResponse{}}
	for number := 0; stream.Receive(); number++ {
		m, err := i.parse(number, stream.Msg())
		if failed := i.wait(); failed != nil {
			return nil, failed // of the message before
		}
		if err != nil {
			return nil, i.stopped(err, number)
		}
		i.begin(ctx, m)
	}
	if err := i.wait(); err != nil {
		return nil, err
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	return i.out, nil
}

// importing is one stream. A message is committed while the next one is
// received and checked; at most one commit is under way.
type importing struct {
	s            *Relationships
	caller       principal.Principal
	organization string
	out          *authzv1.ImportRelationshipsResponse
	// committed gets how the commit that is under way ended; nil when none is.
	committed chan error
}

// importMessage is one message, checked as far as it can be without the model.
type importMessage struct {
	number        int
	relationships []authzcore.Relationship
}

func (i *importing) parse(number int, req *authzv1.ImportRelationshipsRequest) (importMessage, error) {
	switch {
	case number == 0 && req.GetOrganization() == "":
		return importMessage{}, fault.Field("organization", "required", "is required in the first message")
	case number == 0:
		i.organization = req.GetOrganization()
	case req.GetOrganization() != "" && req.GetOrganization() != i.organization:
		return importMessage{}, fault.Field("organization", "same", "differs from the first message's")
	}
	relationships, err := parseImport(req)
	return importMessage{number: number, relationships: relationships}, err
}

// begin commits a message beside what follows.
func (i *importing) begin(ctx context.Context, m importMessage) {
	i.committed = make(chan error, 1)
	go func(done chan<- error) { done <- i.commit(ctx, m) }(i.committed)
}

// wait waits for the commit that is under way.
func (i *importing) wait() error {
	if i.committed == nil {
		return nil
	}
	err := <-i.committed
	i.committed = nil
	return err
}

// messageTimeout bounds the commit of one message: a database that hangs must
// not hold up the organization's other writers for the life of a stream.
const messageTimeout = 30 * time.Second

// stopped adds to a fault how far the import came: what was committed stays.
func (i *importing) stopped(err error, number int) error {
	out := i.out
	f, ok := fault.As(err)
	if !ok {
		return err
	}
	return f.With("message", strconv.Itoa(number)).With("created", strconv.FormatUint(out.GetCreated(), 10)).
		With("updated", strconv.FormatUint(out.GetUpdated(), 10)).
		With("unchanged", strconv.FormatUint(out.GetUnchanged(), 10)).With("revision", out.GetRevision())
}

// commit commits one message.
func (i *importing) commit(ctx context.Context, m importMessage) error {
	ctx, cancel := context.WithTimeout(ctx, messageTimeout)
	defer cancel()
	s := i.s
	var (
		created, updated []authzcore.Relationship
		token            string
	)
	_, err := s.Log.Commit(ctx, eventlog.Request{Log: i.organization}, func(ctx context.Context, tx pgx.Tx) error {
		home, model, err := s.assigned(ctx, tx, i.organization)
		if err != nil {
			return err
		}
		if err := importable(model, m.relationships, s.Clock()); err != nil {
			return err
		}
		created, updated, err = store.Touch(ctx, tx, i.organization, home, relationship.Latest(m.relationships))
		if err != nil {
			return err
		}
		token, err = s.record(ctx, tx, i.organization, i.caller, relationship.Outcome{Created: created, Updated: updated})
		return err
	})
	if err != nil {
		return i.stopped(err, m.number)
	}
	i.out.Created += uint64(len(created))
	i.out.Updated += uint64(len(updated))
	i.out.Unchanged += uint64(len(m.relationships) - len(created) - len(updated))
	i.out.Revision = token
	return nil
}

func parseImport(req *authzv1.ImportRelationshipsRequest) ([]authzcore.Relationship, error) {
	out := make([]authzcore.Relationship, len(req.GetRelationships()))
	for i, r := range req.GetRelationships() {
		var err error
		if out[i], err = parseRelationship(r); err != nil {
			return nil, relationshipFault(err, fmt.Sprintf("relationships[%d].", i))
		}
		if facts.Derived(out[i].Resource, out[i].Relation) {
			return nil, written(out[i], fmt.Sprintf("relationships[%d]", i))
		}
	}
	return out, nil
}

// importable says whether the model allows all, and none has expired.
func importable(model *authzcore.Model, relationships []authzcore.Relationship, at time.Time) error {
	for i, r := range relationships {
		if err := model.Validate(r); err != nil {
			return relationshipFault(err, fmt.Sprintf("relationships[%d].", i))
		}
		if relationship.Expired(r.Terms, at) {
			return relationship.PastExpiry(fmt.Sprintf("relationships[%d].", i))
		}
	}
	return nil
}
