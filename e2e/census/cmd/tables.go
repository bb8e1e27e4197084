package main

import (
	"encoding/binary"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/e2e/census"
	"github.com/meridian-iam/meridian/pkg/id"
)

// rows are those that each calls for.
func rows[T any](all iter.Seq2[int, T], each func(n int, of T, add func(row ...any))) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		going := true
		for n, of := range all {
			each(n, of, func(row ...any) { going = going && yield(row) })
			if !going {
				return
			}
		}
	}
}

func columns(names string) []string { return strings.Fields(names) }

// random is bytes that stand for what only a call can make: hashes, sealed events.
// Each table of each step has a source of its own, always the same.
func (s span) random(source byte) func(size int) []byte {
	seed := [32]byte{source}
	binary.BigEndian.PutUint64(seed[1:], uint64(s.user))
	bytes := rand.NewChaCha8(seed)
	return func(size int) []byte {
		out := make([]byte, size)
		_, _ = bytes.Read(out) // never fails
		return out
	}
}

// tables are what calls would have filled, the largest first. Outcomes are kept for
// 24 hours only, and there are none.
func (s span) tables() []table {
	return append(s.logs(), append(s.people(), s.belongings()...)...)
}

// people are the tables about users.
func (s span) people() []table {
	blind, hash := s.random(1), s.random(2)
	return []table{
		{
			"identity", "search_words", columns("scope word user_id home_region"),
			rows(s.newUsers(), func(n int, user string, add func(...any)) {
				for _, word := range census.PersonOf(n).Words() {
					for _, scope := range append(s.scopes(n), "") {
						add(scope, []byte(word), user, region)
					}
				}
			}),
		},
		{
			"identity", "users", columns("user_id realm state email_verified source home_region created_at memberships"),
			rows(s.newUsers(), func(n int, user string, add func(...any)) {
				add(user, "", int16(1), true, "api", region, s.at, int32(len(s.scopes(n))))
			}),
		},
		{
			"identity", "profiles", columns("user_id email name locale home_region"),
			rows(s.newUsers(), func(n int, user string, add func(...any)) {
				person := census.PersonOf(n)
				add(user, person.Email, person.Name, "en", region)
			}),
		},
		{
			"identity", "user_emails", columns("realm blind user_id home_region"),
			rows(s.newUsers(), func(_ int, user string, add func(...any)) { add("", blind(32), user, region) }),
		},
		{
			"identity", "credentials", columns("user_id credential_id kind name home_region created_at hash"),
			rows(s.newUsers(), func(_ int, user string, add func(...any)) {
				add(user, id.New(id.Credential), int16(1), "", region, s.at, phc(hash))
			}),
		},
	}
}

// phc has the form of a hash of a password.
func phc(random func(int) []byte) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	var out strings.Builder
	out.WriteString("$argon2id$v=19$m=19456,t=2,p=1$")
	for n, b := range random(22 + 43) {
		if n == 22 {
			out.WriteByte('$')
		}
		out.WriteByte(digits[b&63])
	}
	return out.String()
}

// belongings are the tables about organizations, and who is in them.
func (s span) belongings() []table {
	return []table{
		{
			"identity", "memberships", columns("organization_id user_id role state everywhere source source_ref home_region created_at"),
			rows(s.newUsers(), func(n int, user string, add func(...any)) {
				for _, scope := range s.scopes(n) {
					add(scope, user, int16(1+n%10/9), int16(1), false, int16(4), "", region, s.at)
				}
			}),
		},
		{
			"identity", "group_members", columns("organization_id group_id member_id home_region"),
			rows(s.newUsers(), func(n int, user string, add func(...any)) {
				for _, organization := range s.homes(n) {
					add(s.organizations[organization], s.groups[organization*groupsEach+n%groupsEach], user, region)
				}
			}),
		},
		{
			"identity", "groups", columns("organization_id group_id name name_key description members home_region created_at"),
			rows(s.newOrganizations(), func(n int, organization string, add func(...any)) {
				for g, name := range [groupsEach]string{"Engineering", "Finance", "Support"} {
					add(organization, s.groups[n*groupsEach+g], name, []byte(strings.ToLower(name)), "", int32(s.members[n]/groupsEach), region, s.at)
				}
			}),
		},
		{
			"identity", "organizations", columns("organization_id slug name home_region created_at"),
			rows(s.newOrganizations(), func(n int, organization string, add func(...any)) {
				add(organization, census.Slug(n), "Made-up organization", region, s.at)
			}),
		},
		{
			"identity", "counts", columns("organization_id kind number home_region"),
			rows(s.newOrganizations(), func(_ int, organization string, add func(...any)) {
				add(organization, "groups", int64(groupsEach), region)
				add(organization, "invitations", int64(1), region)
			}),
		},
		s.invitations(),
	}
}

// invitations are pending ones, of which each organization has one.
func (s span) invitations() table {
	blind, hash := s.random(3), s.random(4)
	return table{
		"identity", "invitations",
		columns("invitation_id organization_id state invitee email blind secret_hash role group_ids locale letters last_letter user_id home_region created_at expires_at"),
		rows(s.newOrganizations(), func(_ int, organization string, add func(...any)) {
			add(id.New(id.Invitation), organization, int16(1), id.New(id.User), "guest@census.example", blind(32), hash(32), int16(1), "", "en",
				int16(1), s.at, "", region, s.at, s.at.Add(7*24*time.Hour))
		}),
	}
}

// eventBytes is about what an event of a user takes.
const eventBytes = 400

// logs are the events: one of each user, one of each organization, and one of each
// membership in the organization's log. Their bytes are random: nothing reads them
// here, because no call changes what was copied.
func (s span) logs() []table {
	event, hash, head, key := s.random(5), s.random(6), s.random(7), s.random(8)
	write := func(add func(...any), log string, events int) {
		for sequence := range events {
			add(log, int64(sequence)+1, region, event(eventBytes), hash(32), s.at.Add(time.Duration(sequence)*time.Microsecond))
		}
	}
	return []table{
		{"log", "events", columns("log_id sequence home_region envelope hash recorded_at"), func(yield func([]any) bool) {
			rows(s.newOrganizations(), func(n int, organization string, add func(...any)) { write(add, organization, 1+s.members[n]) })(yield)
			rows(s.newUsers(), func(_ int, user string, add func(...any)) { write(add, user, 1) })(yield)
		}},
		{"log", "logs", columns("log_id home_region head head_hash head_time created_at"), func(yield func([]any) bool) {
			rows(s.newOrganizations(), func(n int, organization string, add func(...any)) {
				add(organization, region, int64(1+s.members[n]), head(32), s.at, s.at)
			})(yield)
			rows(s.newUsers(), func(_ int, user string, add func(...any)) { add(user, region, int64(1), head(32), s.at, s.at) })(yield)
		}},
		{
			"log", "user_keys", columns("user_id home_region wrapped created_at"),
			rows(s.newUsers(), func(_ int, user string, add func(...any)) { add(user, region, key(200), s.at) }),
		},
	}
}
