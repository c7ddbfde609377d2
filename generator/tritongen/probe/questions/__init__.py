"""Questions to a server: is it slower, does it meet the goal, where is the knee?"""
