package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

func (a *App) model() *cobra.Command {
	cmd := &cobra.Command{Use: "model", GroupID: "manage", Short: "Authorization models: validate, test, diff, publish, state, rollout, assign, assigned, list, show"}
	cmd.AddCommand(a.modelValidate(), a.modelTest(), a.modelDiff(), a.modelPublish(), a.modelState(), a.modelRollout(), a.modelAssign(),
		a.modelAssigned(), a.modelList(), a.modelShow())
	return cmd
}

// readModel reads a model: one .fga file, or fga.mod and the modules it lists,
// or any list of files.
func readModel(paths []string) ([]authzcore.File, error) {
	if len(paths) == 1 && filepath.Base(paths[0]) == "fga.mod" {
		content, err := os.ReadFile(paths[0])
		if err != nil {
			return nil, err
		}
		var manifest struct {
			Contents []string `yaml:"contents"`
		}
		if err := yaml.Unmarshal(content, &manifest); err != nil {
			return nil, fmt.Errorf("%s: %w", paths[0], err)
		}
		files := []authzcore.File{{Path: "fga.mod", Content: string(content)}}
		for _, name := range manifest.Contents {
			if !filepath.IsLocal(name) {
				return nil, fmt.Errorf("%s: %q is outside its folder", paths[0], name)
			}
			module, err := os.ReadFile(filepath.Join(filepath.Dir(paths[0]), name))
			if err != nil {
				return nil, err
			}
			files = append(files, authzcore.File{Path: name, Content: string(module)})
		}
		return files, nil
	}
	var files []authzcore.File
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, authzcore.File{Path: filepath.Base(path), Content: string(content)})
	}
	return files, nil
}

func (a *App) modelValidate() *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE...", Args: cobra.MinimumNArgs(1),
		Short:   "Compile a model, without a server",
		Long:    "Reads one model file, or fga.mod and its modules. Exit code: 0 compiles, 1 does not.",
		Example: "  meridian model validate model.fga\n  meridian model validate model/fga.mod",
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := readModel(args)
			if err != nil {
				return err
			}
			model, err := authzcore.Compile(authzcore.NewNames(), files)
			if invalid, ok := errors.AsType[*authzcore.ModelError](err); ok {
				return a.problems(invalid)
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"valid": true, "model": model.ID()})
			}
			_, err = fmt.Fprintf(a.stdout, "valid  %s  %d types\n", model.ID(), len(model.Types()))
			return err
		},
	}
}

func (a *App) problems(invalid *authzcore.ModelError) error {
	if a.json {
		if err := a.printJSON(map[string]any{"valid": false, "problems": invalid.Problems}); err != nil {
			return err
		}
		return errNo
	}
	for _, p := range invalid.Problems {
		fmt.Fprintf(a.stdout, "%s:%d:%d: %s\n", p.File, p.Line, p.Column, p.Message)
	}
	return errNo
}

func (a *App) modelPublish() *cobra.Command {
	cmd := &cobra.Command{
		Use: "publish FILE...", Args: cobra.MinimumNArgs(1),
		Short:   "Publish a model",
		Long:    "A model never changes; publishing the same again returns the same id.",
		Example: "  meridian model publish --name cloud model/fga.mod\n  meridian model publish --name cloud --assign model.fga",
	}
	name := cmd.Flags().String("name", "", "what people call the model (default: the file's name)")
	assign := cmd.Flags().Bool("assign", false, "also assign it to --organization")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		files, err := readModel(args)
		if err != nil {
			return err
		}
		client, err := a.client()
		if err != nil {
			return err
		}
		req := &authzv1.PublishModelRequest{
			Name: first(*name, strings.TrimSuffix(filepath.Base(args[0]), ".fga")), IdempotencyKey: newKey(),
		}
		for _, f := range files {
			req.Files = append(req.Files, &authzv1.ModelFile{Path: f.Path, Content: f.Content})
		}
		done := "published"
		if published(cmd.Context(), client, files) {
			done = "unchanged"
		}
		answer, err := client.Models.PublishModel(cmd.Context(), req)
		if err != nil {
			return err
		}
		if a.json {
			answer.Model.Files = nil
			err = a.printMessage(answer)
		} else {
			err = a.published(done, answer.GetModel(), *assign)
		}
		if err != nil || !*assign {
			return err
		}
		return a.assign(cmd, &authzv1.AssignModelRequest{Choice: &authzv1.AssignModelRequest_Model{Model: answer.GetModel().GetId()}})
	}
	return cmd
}

// published says whether a model was published before. Where that cannot be
// known, it was not.
func published(ctx context.Context, client *meridian.Client, files []authzcore.File) bool {
	model, err := authzcore.Compile(authzcore.NewNames(), files)
	if err != nil {
		return false // publishing says so, too
	}
	_, err = client.Models.ReadModel(ctx, &authzv1.ReadModelRequest{Model: model.ID()})
	return err == nil
}

// published prints a model and, unless it is assigned now, what to do next.
func (a *App) published(done string, m *authzv1.Model, assigned bool) error {
	err := a.changed(done, m.GetId()+"  "+m.GetName()+"  "+stateText(m), "")
	if err != nil || assigned {
		return err
	}
	next := ""
	switch m.GetState() {
	case authzv1.ModelState_MODEL_STATE_DRAFT:
		next = fmt.Sprintf("meridian model assign %[1]s, or meridian model state %[1]s active", m.GetId())
	case authzv1.ModelState_MODEL_STATE_RETIRED:
		next = fmt.Sprintf("meridian model state %s active", m.GetId())
	case authzv1.ModelState_MODEL_STATE_CANARY, authzv1.ModelState_MODEL_STATE_ACTIVE, authzv1.ModelState_MODEL_STATE_UNSPECIFIED:
		next = "meridian model assign --line " + m.GetName()
	}
	return a.changed("next", next, "")
}

func (a *App) modelAssign() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "assign [MODEL]",
		Short: "Make an organization's checks use a model, or follow a line of models",
		Long: "With a model, the organization stays with it. With --line, it uses what is active among the\n" +
			"models of that name, or their canary, and moves on when that changes.",
		Example: `  meridian model assign mdl_… --organization org_…
  meridian model assign --line cloud --organization org_…
  meridian model assign mdl_… --allow-orphans`,
	}
	line := cmd.Flags().String("line", "", "follow the models of this name")
	orphans := cmd.Flags().Bool("allow-orphans", false, "assign although stored relationships would not be allowed any more")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if (len(args) == 1) == cmd.Flags().Changed("line") || len(args) > 1 {
			return errors.New("give a model or --line, one of them")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req := &authzv1.AssignModelRequest{AllowOrphans: *orphans}
		if len(args) == 1 {
			req.Choice = &authzv1.AssignModelRequest_Model{Model: args[0]}
		} else {
			req.Choice = &authzv1.AssignModelRequest_Line{Line: *line}
		}
		return a.assign(cmd, req)
	}
	return cmd
}

func (a *App) assign(cmd *cobra.Command, req *authzv1.AssignModelRequest) error {
	client, organization, err := a.inOrganization()
	if err != nil {
		return err
	}
	req.Organization, req.IdempotencyKey = organization, newKey()
	answer, err := client.Models.AssignModel(cmd.Context(), req)
	if err != nil {
		return err
	}
	if a.json {
		return a.printMessage(answer)
	}
	return a.changed("assigned", answer.GetModel()+"  to "+organization, answer.GetRevision())
}

func (a *App) modelList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List models, newest first",
		Example: "  meridian model list --json | jq -r .id",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			req := &authzv1.ListModelsRequest{PageSize: 200}
			_, err = list(a, []string{"MODEL", "NAME", "STATE", "CREATED"}, 0,
				func(cursor string) ([]*authzv1.Model, string, error) {
					req.Cursor = cursor
					answer, err := client.Models.ListModels(cmd.Context(), req)
					return answer.GetModels(), answer.GetNextCursor(), err
				},
				func(m *authzv1.Model) []string {
					return []string{m.GetId(), m.GetName(), stateText(m), m.GetCreatedAt().AsTime().Format(time.RFC3339)}
				})
			return err
		},
	}
}

func (a *App) modelShow() *cobra.Command {
	return &cobra.Command{
		Use: "show MODEL", Args: cobra.ExactArgs(1), Short: "Print a model's source",
		Example: "  meridian model show mdl_…",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			answer, err := client.Models.ReadModel(cmd.Context(), &authzv1.ReadModelRequest{Model: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printMessage(answer)
			}
			for _, f := range answer.GetModel().GetFiles() {
				fmt.Fprintf(a.stdout, "# file: %s\n%s\n", f.GetPath(), f.GetContent())
			}
			return nil
		},
	}
}
