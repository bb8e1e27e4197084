// Package modeltest runs the tests of a model: files in OpenFGA's store format
// (store.fga.yaml), which hold or name a model, relationships, and assertions
// of what the model must answer. It needs no server and no network.
//
// In a Go test:
//
//	func TestModel(t *testing.T) { modeltest.Test(t, "store.fga.yaml") }
//
// A file has name, model or model_file (a .fga, or an fga.mod with its
// modules), tuples, tuple_file and tuple_files (.yaml, .yml, .json, .jsonl,
// .csv), and tests. A test has name, description, tuples, tuple_file,
// tuple_files, check, list_objects and list_users. A test's tuples hold beside
// those of the file, and instead of one with the same user, relation and object.
//
// Beyond the format of OpenFGA: an assertion of a check may be conditional, and
// so may an item of a list ({conditional: "document:1"}); a tuple may have
// expires_at, and a question at, the time it is asked at (RFC 3339; default:
// now).
//
// Reading is strict. An unknown or repeated key, a tuple or a question that the
// model does not allow, a missing file, and a file outside the store's folder
// are errors with file and line. An answer that depends on parameters that the
// context lacks is neither true nor false.
//
// Bounds: 4 MiB a file, 100 files and 100,000 tuples and 100,000 assertions a
// store file, values nested 64 deep, 1,000,000 values a file with aliases
// counted as often as they are used.
//
// Source: https://openfga.dev/docs/modeling/store-file-format.
package modeltest
