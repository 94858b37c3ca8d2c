"""Questions to the user."""

from __future__ import annotations

from qtpy.QtWidgets import QMessageBox, QWidget


def ask(parent: QWidget, question: str, details: str, yes: str) -> bool:
    """Ask before something is done; True when the user presses the button named `yes`."""
    box = QMessageBox(QMessageBox.Icon.Question, question, question, parent=parent)
    box.setInformativeText(details)
    accept = box.addButton(yes, QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    clicked = box.clickedButton() is accept
    box.deleteLater()
    return clicked
