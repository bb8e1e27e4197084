package password_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
)

func b64(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

func TestCheck(t *testing.T) {
	salt, tag := b64([]byte("0123456789abcdef")), b64([]byte(strings.Repeat("t", 32)))
	argon := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt + "$" + tag }
	scrypt := func(params string) string { return "$scrypt$" + params + "$" + salt + "$" + tag }
	pbkdf2 := func(cost string) string { return "$pbkdf2-sha256$" + cost + "$" + salt + "$" + tag }
	const bcrypt = "abcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK"
	for encoded, rule := range map[string]string{
		"":                             "format",
		"plain":                        "format",
		"$":                            "format",
		"$$$":                          "algorithm",
		"$$$$$$":                       "format",
		"$1$salt$hash":                 "algorithm",
		"$argon2d$v=19$m=16,t=1,p=1$$": "algorithm",
		"$2x$05$" + bcrypt:             "algorithm",
		"$2$05$" + bcrypt:              "algorithm",
		"$argon2id$v=19$m=65536,t=3,p=4$" + strings.Repeat("A", 500) + "$" + tag: "max_length",

		argon("m=19456,t=2,p=1"):                                            "",
		argon("m=262144,t=4,p=64"):                                          "",
		argon("m=262145,t=1,p=1"):                                           "max_memory",
		argon("m=4294967295,t=1,p=1"):                                       "max_memory",
		argon("m=4294967296,t=1,p=1"):                                       "parameters",
		argon("m=262144,t=5,p=1"):                                           "max_work",
		argon("m=8,t=131072,p=1"):                                           "",
		argon("m=8,t=131073,p=1"):                                           "max_work",
		argon("m=8,t=4294967295,p=1"):                                       "max_work",
		argon("m=19456,t=2,p=65"):                                           "max_parallelism",
		argon("m=19456,t=2,p=4294967295"):                                   "max_parallelism",
		argon("m=31,t=2,p=4"):                                               "parameters",
		argon("m=0,t=2,p=1"):                                                "parameters",
		argon("m=16,t=0,p=1"):                                               "parameters",
		argon("m=16,t=1,p=0"):                                               "parameters",
		argon("m=016,t=1,p=1"):                                              "parameters",
		argon("m=+16,t=1,p=1"):                                              "parameters",
		argon("m=-16,t=1,p=1"):                                              "parameters",
		argon("m= 16,t=1,p=1"):                                              "parameters",
		argon("m=1_6,t=1,p=1"):                                              "parameters",
		argon("t=1,m=16,p=1"):                                               "parameters",
		argon("m=16,t=1"):                                                   "parameters",
		argon("m=16,t=1,p=1,keyid=AAAA"):                                    "parameters",
		argon("m=16,m=16,t=1,p=1"):                                          "parameters",
		argon("m=16,t=1,p=1") + "$":                                         "format",
		argon("m=16,t=1,p=1") + "=":                                         "encoding",
		argon("m=16,t=1,p=1") + "\n":                                        "encoding",
		"$argon2id$m=16,t=1,p=1$" + salt + "$" + tag:                        "version",
		"$argon2id$v=16$m=16,t=1,p=1$" + salt + "$" + tag:                   "version",
		"$argon2id$v=19$m=16,t=1,p=1$" + salt:                               "format",
		"$argon2i$v=19$m=16,t=1,p=1$" + salt + "$" + tag:                    "",
		"$argon2id$v=19$m=16,t=1,p=1$c2FsdA$" + tag:                         "salt_length",
		"$argon2id$v=19$m=16,t=1,p=1$" + salt + "$dGFn":                     "tag_length",
		"$argon2id$v=19$m=16,t=1,p=1$" + salt + "$" + tag + "BA":            "encoding",
		"$argon2id$v=19$m=16,t=1,p=1$$" + tag:                               "salt_length",
		"$argon2id$v=19$m=16,t=1,p=1$" + salt + "$":                         "tag_length",
		"$argon2id$v=19$m=16,t=1,p=1$MDEyMzQ1Njc4\n$" + tag:                 "encoding",
		"$argon2id$v=19$m=16,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZh$" + tag:         "encoding",
		"$argon2id$v=19$m=16,t=1,p=1$" + salt + "$" + b64(make([]byte, 65)): "tag_length",
		"$argon2id$v=19$m=16,t=1,p=1$" + b64(make([]byte, 65)) + "$" + tag:  "salt_length",

		"$2b$04$" + bcrypt:                                 "",
		"$2a$16$" + bcrypt:                                 "",
		"$2y$17$" + bcrypt:                                 "max_cost",
		"$2b$31$" + bcrypt:                                 "max_cost",
		"$2b$32$" + bcrypt:                                 "parameters",
		"$2b$03$" + bcrypt:                                 "parameters",
		"$2b$-5$" + bcrypt:                                 "parameters",
		"$2b$5$" + bcrypt:                                  "format",
		"$2b$05$" + bcrypt[1:]:                             "format",
		"$2b$05$" + bcrypt + "$":                           "format",
		"$2b$05$" + "!" + bcrypt[1:]:                       "encoding",
		"$2b$05$" + bcrypt[:52] + "!":                      "encoding",
		"$2b$05$" + bcrypt[:52] + "L":                      "encoding",
		"$2b$05$" + strings.Repeat("\n", 22) + bcrypt[22:]: "encoding",

		scrypt("ln=17,r=8,p=1"):                         "",
		scrypt("ln=13,r=8,p=10"):                        "",
		scrypt("ln=18,r=8,p=1"):                         "max_memory", // the lanes and the scratch come on top
		scrypt("ln=31,r=8,p=1"):                         "max_memory",
		scrypt("ln=17,r=8,p=9"):                         "max_work",
		scrypt("ln=1,r=1,p=1073741823"):                 "max_memory",
		scrypt("ln=1,r=1,p=1073741824"):                 "parameters",
		scrypt("ln=32,r=8,p=1"):                         "parameters",
		scrypt("ln=16384,r=8,p=1"):                      "parameters",
		scrypt("ln=10,r=4294967295,p=4294967295"):       "parameters",
		scrypt("ln=10,p=1,r=8"):                         "parameters",
		scrypt("ln=10,r=8,p=1") + "$x":                  "format",
		"$scrypt$ln=10,r=8,p=1$" + salt:                 "format",
		"$7$C6..../....salt$" + strings.Repeat(".", 43): "",
		"$7$C6..../....$" + strings.Repeat(".", 43):     "salt_length",
		"$7$C6..../....salt$" + strings.Repeat(".", 42): "format",
		"$7$C6..../....salt$" + strings.Repeat("z", 43): "encoding",
		"$7$C6..../....sa!t$" + strings.Repeat(".", 43): "encoding",
		"$7$C6..../...$" + strings.Repeat(".", 43):      "format",
		"$7$C...../....salt$" + strings.Repeat(".", 43): "parameters",
		"$7$G6..../....salt$" + strings.Repeat(".", 43): "max_memory",
		"$7$Gzzzzzzzzzzsalt$" + strings.Repeat(".", 43): "parameters",

		pbkdf2("600000"):        "",
		pbkdf2("i=600000"):      "",
		pbkdf2("i=600000,l=32"): "",
		pbkdf2("i=600000,l=31"): "parameters",
		pbkdf2("i=600000,"):     "parameters",
		pbkdf2("i=600000,x=32"): "parameters",
		pbkdf2("i=5000000"):     "",
		pbkdf2("i=5000001"):     "max_iterations",
		pbkdf2("i=0"):           "parameters",
		pbkdf2("i="):            "parameters",
		pbkdf2(""):              "parameters",
		pbkdf2("0600000"):       "parameters",
		pbkdf2("4294967296"):    "parameters",
		pbkdf2("i=1") + "$":     "format",
		"$pbkdf2-sha1$i=2500001$" + salt + "$" + tag:  "max_iterations", // two blocks
		"$pbkdf2-sha384$1$" + salt + "$" + tag:        "algorithm",
		"$pbkdf2-sha256$1$++++" + salt + "$" + tag:    "encoding",
		"$pbkdf2-sha256$i=1$...." + salt + "$" + tag:  "encoding",
		"$pbkdf2$1$$" + tag:                           "salt_length",
		"pbkdf2_sha256$600000$saltsalt$" + tag + "=":  "",
		"pbkdf2_sha1$600000$saltsalt$" + tag + "=":    "",
		"pbkdf2_sha256$600000$saltsalt$" + tag:        "encoding",
		"pbkdf2_sha256$6000000$saltsalt$" + tag + "=": "max_iterations",
		"pbkdf2_sha256$600000$$" + tag + "=":          "salt_length",
		"pbkdf2_sha256$600000$saltsalt$" + tag + "=$": "format",
		"pbkdf2_sha512$600000$saltsalt$" + tag + "=":  "algorithm",
		"argon2$argon2id$v=19$m=16,t=1,p=1":           "algorithm",
	} {
		t.Run(encoded, func(t *testing.T) {
			err := hasher(t, password.Config{Params: cheap}).Check(encoded)
			if rule == "" && err != nil || rule != "" && !broken(err, "password_hash", rule) {
				t.Errorf("Check(%q) = %v, want rule %q", encoded, err, rule)
			}
			if f, ok := fault.As(err); ok && len(encoded) > 20 && strings.Contains(f.Error(), encoded[len(encoded)-20:]) {
				t.Error("the error tells the hash")
			}
		})
	}
}

// A published hash of crypt(3), of the password pleaseletmein.
func TestScrypt7(t *testing.T) {
	const encoded = "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D"
	h := hasher(t, password.Config{})
	if got := verify(t, h, encoded, "pleaseletmein"); got != (password.Result{Match: true, Rehash: true}) {
		t.Errorf("Verify = %+v", got)
	}
}

func TestLimitsAreTunable(t *testing.T) {
	encoded := "$argon2id$v=19$m=1048576,t=4,p=1$MDEyMzQ1Njc4OWFiY2RlZg$" + b64(make([]byte, 32))
	if err := hasher(t, password.Config{}).Check(encoded); !broken(err, "password_hash", "max_memory") {
		t.Errorf("Check = %v, want max_memory", err)
	}
	large := password.Config{Limits: password.Limits{Memory: 1 << 30, Work: 4 << 30}, Budget: 1 << 30}
	if err := hasher(t, large).Check(encoded); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, h := range foreignHashes(f) {
		f.Add(h.Encoded)
	}
	f.Add("$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D")
	// So little that everything that is let in can be computed.
	h := hasher(f, password.Config{
		Params: password.Params{Memory: 8, Passes: 1},
		Limits: password.Limits{Memory: 1 << 20, Work: 1 << 20, Iterations: 200, BcryptCost: 4},
		Budget: 1 << 20,
	})
	f.Fuzz(func(t *testing.T, encoded string) {
		if err := h.Check(encoded); err != nil {
			if f, ok := fault.As(err); !ok || f.Meta["field"] != "password_hash" || f.Meta["rule"] == "" {
				t.Errorf("Check(%q) = %v", encoded, err)
			}
			return
		}
		if got := verify(t, h, encoded, "no password of any of the seeds"); got.Match || got.Rehash {
			t.Errorf("%q matches a wrong password", encoded)
		}
	})
}
