import { useEffect, useEffectEvent, useRef } from "react";
import { code, type Code } from "./editor";

export interface CodeViewProps {
  text: string;
  name: string;
  hint?: string | undefined;
  label: string;
  wrap: boolean;
  editable?: boolean;
  onChange?: (text: string) => void;
  /** text is what the editor holds now, which onChange may not have told yet. */
  onSave?: (text: string) => void;
}

/** Text with the colours of its language. A change of name makes a new editor; give it a key to forget undo. */
export default function CodeView({ text, name, hint, label, wrap, editable = false, onChange, onSave }: CodeViewProps) {
  const box = useRef<HTMLDivElement>(null);
  const editor = useRef<Code>(null);
  const changed = useEffectEvent((now: string) => onChange?.(now));
  const save = useEffectEvent((now: string) => onSave?.(now));
  const start = useEffectEvent((parent: HTMLElement) => code({ parent, text, name, hint, label, wrap, editable, onChange: changed, onSave: save }));

  useEffect(() => {
    if (!box.current) return undefined;
    const made = start(box.current);
    editor.current = made;
    return () => { editor.current = null; made.destroy(); };
  }, [name, hint, label]);
  useEffect(() => { editor.current?.setText(text); }, [text]);
  useEffect(() => { editor.current?.setEditable(editable); if (editable) editor.current?.view.focus(); }, [editable]);
  useEffect(() => { editor.current?.setWrap(wrap); }, [wrap]);

  return <div ref={box} className="h-full min-h-0 overflow-hidden" />;
}
