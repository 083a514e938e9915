"""The portal's pages: fetch through the permission, bind the form, call one service, answer."""
