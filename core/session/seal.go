package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// seal encrypts mcp_env under the user's key, so that a session can wake after a restart without anything at rest that opens
// without the user. An empty mcp_env seals to nil.
func seal(key, sessionID string, env map[string]map[string]string) ([]byte, error) {
	if len(env) == 0 {
		return nil, nil
	}
	plain, err := json.Marshal(env)
	if err != nil {
		return nil, fmt.Errorf("marshalling mcp_env: %w", err)
	}
	aead, err := sealer(key, sessionID)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, []byte(sessionID)), nil
}

func unseal(key, sessionID string, sealed []byte) (map[string]map[string]string, error) {
	if len(sealed) == 0 {
		return map[string]map[string]string{}, nil
	}
	aead, err := sealer(key, sessionID)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, fmt.Errorf("opening mcp_env of %s: too short", sessionID)
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(sessionID))
	if err != nil {
		return nil, fmt.Errorf("opening mcp_env of %s: %w", sessionID, err)
	}
	var env map[string]map[string]string
	if err := json.Unmarshal(plain, &env); err != nil {
		return nil, fmt.Errorf("reading mcp_env of %s: %w", sessionID, err)
	}
	return env, nil
}

func sealer(key, sessionID string) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, []byte(key), []byte(sessionID), "agcluster mcp_env v1", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the mcp_env key: %w", err)
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, fmt.Errorf("preparing the mcp_env cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("preparing the mcp_env cipher: %w", err)
	}
	return aead, nil
}
