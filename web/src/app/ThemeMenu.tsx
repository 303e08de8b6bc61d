import { Monitor, Moon, Sun } from "lucide-react";
import { IconButton } from "@/ui/button";
import { Menu } from "@/ui/menu";
import { setTheme, useTheme } from "./theme";

export function ThemeMenu() {
  const theme = useTheme();
  const Icon = theme === "dark" ? Moon : theme === "light" ? Sun : Monitor;
  return (
    <Menu
      label="Theme" trigger={<IconButton label={`Theme: ${theme}`}><Icon size={17} /></IconButton>}
      items={[
        { label: "System", icon: Monitor, onSelect: () => setTheme("system") },
        { label: "Light", icon: Sun, onSelect: () => setTheme("light") },
        { label: "Dark", icon: Moon, onSelect: () => setTheme("dark") },
      ]}
    />
  );
}
