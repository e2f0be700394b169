package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCompletion(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that completes deputy's words in a shell",
		Long: `Print a script that completes deputy's words in a shell: verbs, and what the
daemon knows: modules, actions, params and the ids of tasks.`,
		Example: `  source <(deputy completion bash)
  deputy completion fish > ~/.config/fish/completions/deputy.fish`,
		Annotations: map[string]string{exitStatus: plainStatus},
		Args:        exactly(1, "the name of a shell: bash, zsh, fish or powershell"),
		ValidArgs:   shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return usage("%s", fmt.Sprintf("no completion for %q; there is one for bash, zsh, fish and powershell", args[0]))
		},
	}
}
