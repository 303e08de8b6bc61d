package main

import (
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/api"
)

func openapiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "openapi", Short: "Print the API's description (OpenAPI 3.1)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The description does not change with the build, or it could not be checked in.
			a, _ := api.New(api.Config{Version: "1"}, api.Deps{}, zap.NewNop())
			b, err := a.OpenAPI()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(b)
			return err
		},
	}
}
