"""A folder to write to: shown, typed or chosen, and remembered for the next time."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QApplication, QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget


class FolderLine(QWidget):
    """One line with a path and a button that opens the folder chooser."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._line = QLineEdit()
        self._line.setAccessibleName(name)
        choose = QPushButton("Choose …")
        choose.setAccessibleName(f"Choose: {name}")
        choose.clicked.connect(self._choose)
        self.setFocusProxy(self._line)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self._line, 1)
        layout.addWidget(choose)

    def path(self) -> Path | None:
        """Return the folder, or None if the line is empty."""
        text = self._line.text().strip()
        return Path(text).expanduser() if text else None

    def set_path(self, path: Path) -> None:
        """Show this folder."""
        self._line.setText(str(path))

    @Slot()
    def _choose(self) -> None:
        wanted = self.path() or Path.home()
        existing = next((folder for folder in (wanted, *wanted.parents) if folder.is_dir()), Path.home())
        dialog = QFileDialog(self, self._line.accessibleName(), str(existing))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self._line.setText)
        dialog.open()


if __name__ == "__main__":
    app = QApplication([])
    line = FolderLine("Folder for the export")
    line.set_path(Path.home())
    line.show()
    app.exec()
