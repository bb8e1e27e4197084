package rpc

import (
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
)

// parseFreshness reads what a call asks for. A token may name several logs;
// the organization's counts here, the platform's and users' do not shape its
// graph. A token that names other organizations only is refused.
func parseFreshness(organization string, f *commonv1.Freshness) (graphs.Freshness, error) {
	out := graphs.Freshness{MaxStaleness: maxStaleness(f)}
	switch level := f.GetLevel().(type) {
	case *commonv1.Freshness_FullyConsistent:
		out.Level = graphs.FullyConsistent
	case *commonv1.Freshness_AtLeast:
		revisions, err := revision.Parse(level.AtLeast)
		if err != nil {
			return out, fault.New(fault.Invalid, commonv1.Reason_REVISION_MALFORMED, "freshness.at_least is not a revision token").
				With("field", "freshness.at_least").With("rule", "revision_token")
		}
		sequence, named := revision.Find(revisions, organization)
		if !named && namesOrganization(revisions) {
			return out, fault.New(fault.Precondition, commonv1.Reason_REVISION_UNKNOWN,
				"freshness.at_least is a token of another organization").With("field", "freshness.at_least")
		}
		out.Level, out.Sequence = graphs.AtLeast, sequence
	}
	return out, nil
}

func namesOrganization(revisions []revision.Revision) bool {
	for _, r := range revisions {
		if strings.HasPrefix(r.Log, string(id.Organization)) {
			return true
		}
	}
	return false
}
