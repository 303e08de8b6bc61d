import { LanguageDescription, type Language } from "@codemirror/language";
import { languages } from "@codemirror/language-data";
import { highlightCode } from "@lezer/highlight";
import { useEffect, useMemo, useState } from "react";
import { highlighting } from "./editor";

/** A short piece of code with the colours of its language, once that is loaded. */
export default function Snippet({ text, language }: { text: string; language: string }) {
  const [known, setKnown] = useState<Language>();
  useEffect(() => {
    let gone = false;
    void LanguageDescription.matchLanguageName(languages, language, true)?.load().then((l) => { if (!gone) setKnown(l.language); });
    return () => { gone = true; };
  }, [language]);
  const pieces = useMemo(() => {
    if (!known) return [{ text, classes: "" }];
    const all: { text: string; classes: string }[] = [];
    highlightCode(text, known.parser.parse(text), highlighting, (piece, classes) => all.push({ text: piece, classes }), () => all.push({ text: "\n", classes: "" }));
    return all;
  }, [text, known]);
  return <code>{pieces.map((p, i) => p.classes ? <span key={i} className={p.classes}>{p.text}</span> : p.text)}</code>;
}
