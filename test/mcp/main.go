// Command mcp is a server of MCP, and a client that calls it, of the Go SDK:
//
//	mcp server ADDRESS sessions|stateless
//	mcp client URL TOKEN
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	if os.Args[1] == "server" {
		err = serve(os.Args[2], os.Args[3] == "stateless")
	} else {
		err = ask(os.Args[2], os.Args[3])
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
