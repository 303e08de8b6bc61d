import { Eye, EyeOff } from "lucide-react";
import { useState, type ComponentProps } from "react";
import { IconButton } from "./button";
import { Input } from "./field";

/** An input for a credential: hidden until asked to be shown, and nothing for a password manager. */
export function SecretInput({ name, ...rest }: Omit<ComponentProps<typeof Input>, "type"> & { name: string }) {
  const [shown, setShown] = useState(false);
  return (
    <span className="flex items-center gap-1">
      <Input {...rest} type={shown ? "text" : "password"} autoComplete="off" spellCheck={false} data-1p-ignore data-lpignore="true" className="font-mono" />
      <IconButton label={shown ? `Hide ${name}` : `Show ${name}`} aria-pressed={shown} onClick={() => setShown(!shown)}>{shown ? <EyeOff size={16} /> : <Eye size={16} />}</IconButton>
    </span>
  );
}
