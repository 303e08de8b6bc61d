import { Field } from "@/ui/field";
import { SecretInput } from "@/ui/secret";
import type { Credentials, Variable } from "./credentials";

/** The credentials that the MCP servers of a configuration need. They are held in this page only and go with the launch. */
export function CredentialFields({ vars, given, missed, onChange }: {
  vars: Variable[]; given: Credentials;
  /** Say which of the required ones are lacking. */
  missed: boolean;
  onChange: (next: Credentials) => void;
}) {
  return (
    <div className="flex flex-col gap-3">
      {vars.map(({ server, name, required }) => {
        const value = given[server]?.[name] ?? "";
        return (
          <Field
            key={`${server} ${name}`} label={<><span className="font-mono text-xs">{name}</span> <span className="font-normal text-ink-3">for {server}</span></>} required={required}
            hint={required ? undefined : "The operator may have set it; a value here takes its place."}
            error={missed && required && !value.trim() ? `${server} can't work without it.` : undefined}
          >
            {(control) => (
              <SecretInput
                {...control} name={name} value={value} required={required}
                onChange={(e) => onChange({ ...given, [server]: { ...given[server], [name]: e.target.value } })}
              />
            )}
          </Field>
        );
      })}
    </div>
  );
}
