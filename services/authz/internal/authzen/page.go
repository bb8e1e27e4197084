package authzen

import (
	"math"
	"strconv"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// maxLimit is how many results a page has at most, and without a limit.
const maxLimit = 1000

// pageRequest is which page of a search is asked for.
type pageRequest struct {
	limit  uint32
	cursor string
}

// pageReply is what follows a page. A token that is empty: nothing.
type pageReply struct {
	NextToken string `json:"next_token"`
	Count     int    `json:"count"`
}

// reply returns the token of the next page: the limit, which must not change
// between pages, and the cursor.
func (p pageRequest) reply(next string, count int) pageReply {
	if next == "" {
		return pageReply{Count: count}
	}
	return pageReply{NextToken: strconv.FormatUint(uint64(p.limit), 10) + "." + next, Count: count}
}

// pageOf reads a request's page. A limit above 1,000 means 1,000; none or 0 too.
//
// Errors: INVALID_FIELD.
func pageOf(body object) (pageRequest, error) {
	from, err := body.object("", "page")
	if err != nil {
		return pageRequest{}, err
	}
	limit, err := limitOf(from)
	if err != nil {
		return pageRequest{}, err
	}
	switch token := from["token"].(type) {
	case nil:
		return pageRequest{limit: orMost(limit)}, nil
	case string:
		if token == "" {
			return pageRequest{limit: orMost(limit)}, nil
		}
		return continued(token, limit, from["limit"] != nil)
	default:
		return pageRequest{}, fault.Field("page.token", "string", "must be a string")
	}
}

// limitOf reads a limit; 0 for none.
func limitOf(from object) (uint32, error) {
	switch value := from["limit"].(type) {
	case nil:
		return 0, nil
	case float64:
		if value < 0 || value != math.Trunc(value) {
			return 0, fault.Field("page.limit", "integer", "must be an integer that is not negative")
		}
		return uint32(min(value, maxLimit)), nil
	default:
		return 0, fault.Field("page.limit", "integer", "must be an integer that is not negative")
	}
}

func orMost(limit uint32) uint32 {
	if limit == 0 {
		return maxLimit
	}
	return limit
}

// continued reads the token of a page that is not the first.
func continued(token string, limit uint32, given bool) (pageRequest, error) {
	text, cursor, found := strings.Cut(token, ".")
	first, err := strconv.ParseUint(text, 10, 32)
	if !found || err != nil || first == 0 || first > maxLimit || cursor == "" {
		return pageRequest{}, fault.Field("page.token", "cursor", "is not a token of this search; start again without one")
	}
	if given && uint64(orMost(limit)) != first {
		return pageRequest{}, fault.Field("page.limit", "same", "must be that of the first page")
	}
	return pageRequest{limit: uint32(first), cursor: cursor}, nil
}
