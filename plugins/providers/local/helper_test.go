package main

func runHelper() error { return nil }
